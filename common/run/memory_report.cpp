// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/run/memory_report.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>

#include <nlohmann/json.hpp>

#include "common/base/bytes.h"
#include "common/base/text.h"

namespace yolodist::run {
namespace {

using nlohmann::json;

// Terms of a plan that lie outside of the allocator, whose kinds `actual` counts.
constexpr std::array<const char*, 4> outside_terms = {"context", "nccl", "workspace", "fragmentation"};

std::optional<int64_t> number(const json& object, const char* key) {
  if (!object.is_object() || !object.contains(key) || !object.at(key).is_number()) {
    return std::nullopt;
  }
  return object.at(key).get<int64_t>();
}

std::string word(const json& object, const char* key) {
  return object.is_object() && object.contains(key) && object.at(key).is_string()
             ? object.at(key).get<std::string>()
             : "";
}

json list(const json& object, const char* key) {
  return object.is_object() && object.contains(key) && object.at(key).is_array() ? object.at(key)
                                                                                 : json::array();
}

std::string size(int64_t bytes) {
  return to_string(Bytes{bytes});
}

std::string signed_size(int64_t bytes) {
  return cat(bytes < 0 ? "-" : "+", size(std::abs(bytes)));
}

// "8x160x160x160 fp16"; "" where nothing is known. A 0 ends the shape.
std::string tensor_text(const json& memory) {
  std::vector<std::string> sides;
  for (const json& side : list(memory, "shape")) {
    if (!side.is_number() || side.get<int64_t>() <= 0) {
      break;
    }
    sides.push_back(std::to_string(side.get<int64_t>()));
  }
  return sides.empty() ? "" : trimmed(cat(join(sides, "x"), " ", word(memory, "dtype")));
}

std::string when_text(const json& memory) {
  std::vector<std::string> parts;
  if (const auto epoch = number(memory, "epoch")) {
    parts.push_back(cat("epoch ", *epoch));
  }
  if (const auto iteration = number(memory, "iteration")) {
    parts.push_back(cat("iteration ", *iteration));
  }
  return join(parts, ", ");
}

void add_amounts(const json& memory, std::vector<std::string>& lines) {
  std::vector<std::string> parts;
  if (const auto asked = number(memory, "requested_bytes")) {
    parts.push_back(cat("asked ", size(*asked)));
  }
  if (const auto free = number(memory, "free_bytes")) {
    parts.push_back(cat("free ", size(*free)));
  }
  if (const auto held = number(memory, "held_bytes")) {
    const auto budget = number(memory, "budget_bytes");
    parts.push_back(
        cat("held ", size(*held), budget.value_or(0) > 0 ? cat(" of a budget of ", size(*budget)) : ""));
  }
  if (!parts.empty()) {
    lines.push_back(cat("  how much   ", join(parts, ", ")));
  }
}

// Of the whole card, where its driver says: the budget may be kept, and others have taken what was meant.
void add_card(const json& memory, std::vector<std::string>& lines) {
  const auto used = number(memory, "device_used_bytes");
  if (!used) {
    return;
  }
  const auto total = number(memory, "device_bytes");
  std::string line = cat("  the card   ", size(*used), total ? cat(" of ", size(*total)) : "", " in use");
  if (const auto others = number(memory, "other_processes_bytes")) {
    line += *others > 0 ? cat(", ", size(*others), " of it by other processes") : ", by nobody else";
  } else if (const auto reserved = number(memory, "reserved_bytes"); reserved && *used > *reserved) {
    line += cat(", ", size(*used - *reserved),
                " of it outside of this rank's allocator (its CUDA context, NCCL, other processes)");
  }
  lines.push_back(line);
}

void add_holders(const json& memory, std::vector<std::string>& lines) {
  constexpr size_t most_holders = 8;
  const json holders = list(memory, "holders");
  int64_t held = number(memory, "held_bytes").value_or(0), shown_bytes = 0;
  size_t shown = 0;
  for (const json& holder : holders) {
    const auto bytes = number(holder, "bytes");
    if (!bytes || shown == most_holders) {
      continue;
    }
    const std::string name = word(holder, "name");
    lines.push_back(cat(
        shown == 0 ? "  who holds  " : "             ", printf_string("%10s", size(*bytes).c_str()),
        held > 0 ? printf_string(" %3.0f %%", 100.0 * static_cast<double>(*bytes) / static_cast<double>(held))
                 : "",
        "  ", word(holder, "kind"), name.empty() ? "" : cat(" of ", name)));
    shown_bytes += *bytes;
    ++shown;
  }
  if (shown > 0 && held > shown_bytes) {
    lines.push_back(
        cat("             ", printf_string("%10s", size(held - shown_bytes).c_str()), "        by others"));
  }
}

std::map<std::string, int64_t> amounts(const json& memory, const char* key) {
  std::map<std::string, int64_t> result;
  if (memory.contains(key) && memory.at(key).is_object()) {
    for (const auto& [name, value] : memory.at(key).items()) {
      if (value.is_number() &&
          std::find(outside_terms.begin(), outside_terms.end(), name) == outside_terms.end()) {
        result[name] = value.get<int64_t>();
      }
    }
  }
  return result;
}

// By term where plan and reality are furthest apart. What is there at that moment and the plan's peak are not
// of the same moment, so only what is above the plan explains something.
void add_plan(const json& memory, std::vector<std::string>& lines) {
  const std::map<std::string, int64_t> plan = amounts(memory, "plan"), actual = amounts(memory, "actual");
  if (plan.empty() || actual.empty()) {
    return;
  }
  int64_t planned = 0;
  for (const auto& [term, bytes] : plan) {
    planned += bytes;
  }
  planned = number(memory, "plan_bytes").value_or(planned);
  std::vector<std::pair<int64_t, std::string>> above;
  for (const auto& [kind, bytes] : actual) {
    const auto term = plan.find(kind);
    const int64_t excess = bytes - (term == plan.end() ? 0 : term->second);
    if (excess > planned / 200) {
      above.emplace_back(excess, kind);
    }
  }
  std::sort(above.rbegin(), above.rend());
  std::vector<std::string> parts;
  for (const auto& [excess, kind] : above) {
    parts.push_back(cat(kind, " ", signed_size(excess)));
  }
  const int64_t needed =
      number(memory, "held_bytes").value_or(0) + number(memory, "requested_bytes").value_or(0);
  const int64_t budget = number(memory, "budget_bytes").value_or(0);
  std::string verdict =
      parts.empty() ? "no term is above its plan" : cat("above the plan: ", join(parts, ", "));
  if (budget > 0 && planned > budget) {
    verdict =
        cat("the plan itself is over the budget of ", size(budget), parts.empty() ? "" : cat("; ", verdict));
  }
  lines.push_back(cat("  the plan   peak ", size(planned), ", needed here ", size(needed), " (",
                      signed_size(needed - planned), "); ", verdict));
}

void add_ranks(const json& memory, std::vector<std::string>& lines) {
  const json ranks = list(memory, "ranks");
  if (ranks.size() < 2) {
    return;
  }
  lines.push_back("  all ranks  rank  host                   now       peak     budget");
  for (const json& rank : ranks) {
    const auto bytes = [&rank](const char* key) {
      const auto value = number(rank, key);
      return !value || *value == 0 ? std::string("-") : size(*value);
    };
    const bool ran_out = rank.is_object() && rank.contains("ran_out") && rank.at("ran_out") == true;
    lines.push_back(cat("             ",
                        printf_string("%4s", std::to_string(number(rank, "rank").value_or(-1)).c_str()), "  ",
                        printf_string("%-16s", word(rank, "host").c_str()),
                        printf_string("%10s", bytes("current_bytes").c_str()),
                        printf_string("%11s", bytes("peak_bytes").c_str()),
                        printf_string("%11s", bytes("budget_bytes").c_str()), ran_out ? "  ran out" : ""));
  }
}

void add_pictures(const json& memory, std::vector<std::string>& lines) {
  constexpr size_t most_pictures = 4;
  const json pictures = list(memory, "pictures");
  std::vector<std::string> paths;
  for (const json& picture : pictures) {
    if (picture.is_string() && paths.size() < most_pictures) {
      paths.push_back(picture.get<std::string>());
    }
  }
  if (!paths.empty()) {
    lines.push_back(
        cat("  pictures   ", join(paths, ", "),
            pictures.size() > paths.size() ? cat(" and ", pictures.size() - paths.size(), " more") : ""));
  }
}

// "12 % more time"; "" for a slowdown that is not known.
std::string slowdown_text(const json& remedy) {
  if (!remedy.contains("slowdown") || !remedy.at("slowdown").is_number()) {
    return "";
  }
  const double percent = 100 * remedy.at("slowdown").get<double>();
  return percent < 0.5 ? "" : printf_string(", %.0f %% more time", percent);
}

void add_remedies(const json& memory, std::vector<std::string>& lines) {
  int count = 0;
  for (const json& remedy : list(memory, "remedies")) {
    const std::string change = word(remedy, "change");
    if (change.empty()) {
      continue;
    }
    const auto peak = number(remedy, "allocator_bytes");
    const bool fits = remedy.contains("fits") && remedy.at("fits") == true;
    const bool is_exact = !remedy.contains("is_exact") || remedy.at("is_exact") != false;
    lines.push_back(cat(count == 0 ? "  what now   " : "             ", count + 1, ". ", change,
                        peak ? cat(": peak ", size(*peak)) : "", fits ? "" : " (does not fit)",
                        slowdown_text(remedy),
                        is_exact ? ", same result" : ", changes the recipe: only on request"));
    ++count;
  }
}

}  // namespace

std::string headline_of(const json& memory) {
  std::string line = "out of memory";
  if (const auto rank = number(memory, "rank")) {
    line += cat(" on rank ", *rank);
  }
  if (const std::string host = word(memory, "host"); !host.empty()) {
    line += cat(" (", host, ")");
  }
  const std::string phase = word(memory, "phase"), piece = word(memory, "piece"),
                    tensor = tensor_text(memory);
  std::string where = phase;
  if (!piece.empty()) {
    where += cat(where.empty() ? "" : " of ", piece);
  } else if (const auto layer = number(memory, "layer"); layer.value_or(-1) >= 0) {
    where += cat(where.empty() ? "" : " of ", "model.", *layer);
  }
  std::vector<std::string> parts;
  for (const std::string& part : {where, tensor, when_text(memory)}) {
    if (!part.empty()) {
      parts.push_back(part);
    }
  }
  return parts.empty() ? line : cat(line, ": ", join(parts, ", "));
}

std::vector<std::string> text_of(const json& memory) {
  std::vector<std::string> lines = {headline_of(memory)};
  if (!memory.is_object()) {
    return lines;
  }
  add_amounts(memory, lines);
  add_card(memory, lines);
  add_holders(memory, lines);
  add_plan(memory, lines);
  add_ranks(memory, lines);
  add_pictures(memory, lines);
  add_remedies(memory, lines);
  return lines;
}

}  // namespace yolodist::run
