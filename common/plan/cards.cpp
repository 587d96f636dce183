// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/plan/cards.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <nlohmann/json.hpp>

#include "common/base/atomic_file.h"
#include "common/base/error.h"
#include "common/base/text.h"
#include "common/config/run_file.h"
#include "common/config/share_folder.h"

namespace yolodist::plan {
namespace {

using nlohmann::json;

constexpr double mib = 1048576.0, gib = 1073741824.0;

// "NVIDIA GeForce RTX 4090" -> "rtx4090".
std::string plain(std::string_view name) {
  std::string text = lower(name);
  for (const std::string word : {"nvidia", "geforce", "tesla"}) {
    for (size_t at = text.find(word); at != std::string::npos; at = text.find(word)) {
      text.erase(at, word.size());
    }
  }
  std::erase_if(text, [](unsigned char c) { return std::isalnum(c) == 0; });
  return text;
}

double number_of(const json& from, const char* key, double least, const std::string& where) {
  const auto found = from.find(key);
  if (found == from.end()) {
    throw DataError(cat(where, ": ", key, " is missing"));
  }
  if (!found->is_number() || !(found->get<double>() >= least)) {
    throw DataError(cat(where, ": ", key, " should be a number from ", least, " on, is ", found->dump()));
  }
  return found->get<double>();
}

void read_overhead(const json& from, const std::string& where, Overhead& overhead) {
  const auto bytes = [&](const char* key, int64_t& member) {
    if (from.contains(key)) {
      member = static_cast<int64_t>(std::llround(number_of(from, key, 0, where) * mib));
    }
  };
  bytes("context_mib", overhead.context_bytes);
  bytes("nccl_mib", overhead.nccl_bytes);
  bytes("workspace_mib", overhead.workspace_bytes);
  if (from.contains("fragmentation")) {
    overhead.fragmentation = number_of(from, "fragmentation", 0, where);
  }
}

Card read_card(const std::string& name, const json& from, const Overhead& defaults,
               const std::string& origin) {
  const std::string where = cat(origin, ": card ", name);
  if (!from.is_object()) {
    throw DataError(cat(where, " should be a mapping"));
  }
  Card card;
  card.name = name;
  if (from.contains("aliases")) {
    const json& aliases = from.at("aliases");
    if (!aliases.is_array() ||
        !std::all_of(aliases.begin(), aliases.end(), [](const json& a) { return a.is_string(); })) {
      throw DataError(cat(where, ": aliases should be a list of names"));
    }
    card.aliases = aliases.get<std::vector<std::string>>();
  }
  constexpr double least_rate = 1e-3;
  card.memory_bytes = static_cast<int64_t>(number_of(from, "memory_gib", 0.01, where) * gib);
  card.capability = printf_string("%.1f", number_of(from, "capability", 1, where));
  card.fp32_flops_per_s = number_of(from, "fp32_tflops", least_rate, where) * 1e12;
  card.fp16_flops_per_s = number_of(from, "fp16_tflops", least_rate, where) * 1e12;
  card.bytes_per_s = number_of(from, "bandwidth_gb_s", least_rate, where) * 1e9;
  card.overhead = defaults;
  read_overhead(from, where, card.overhead);
  return card;
}

std::string listed(const CardCatalogue& catalogue) {
  std::vector<std::string> names;
  for (const Card& card : catalogue.cards) {
    names.push_back(card.name);
  }
  return join(names, ", ");
}

std::vector<std::string> names_of(const Card& card) {
  std::vector<std::string> names = {plain(card.name)};
  for (const std::string& alias : card.aliases) {
    names.push_back(plain(alias));
  }
  return names;
}

}  // namespace

CardCatalogue read_cards(const std::filesystem::path& file) {
  CardCatalogue catalogue;
  catalogue.origin = file.string();
  const json document = config::from_yaml(read_file(file), catalogue.origin);
  if (!document.is_object() || !document.contains("cards") || !document.at("cards").is_object() ||
      document.at("cards").empty()) {
    throw DataError(cat(catalogue.origin, ": no cards in it"),
                    "share/yolodist/cards.yaml of yolodist shows the form.");
  }
  if (document.contains("defaults")) {
    read_overhead(document.at("defaults"), cat(catalogue.origin, ": defaults"), catalogue.defaults);
  }
  for (const auto& [name, from] : document.at("cards").items()) {
    catalogue.cards.push_back(read_card(name, from, catalogue.defaults, catalogue.origin));
  }
  return catalogue;
}

CardCatalogue read_shipped_cards() {
  return read_cards(config::share_folder() / "cards.yaml");
}

const Card& find_card(const CardCatalogue& catalogue, std::string_view name) {
  const std::string word = plain(name);
  std::vector<const Card*> meant;
  for (const Card& card : catalogue.cards) {
    const std::vector<std::string> names = names_of(card);
    if (std::find(names.begin(), names.end(), word) != names.end()) {
      return card;
    }
    if (!word.empty() && std::any_of(names.begin(), names.end(),
                                     [&](const std::string& known) { return known.starts_with(word); })) {
      meant.push_back(&card);
    }
  }
  if (meant.size() == 1) {
    return *meant.front();
  }
  if (meant.size() > 1) {
    std::vector<std::string> names;
    for (const Card* card : meant) {
      names.push_back(card->name);
    }
    throw UsageError(cat("--card '", name, "' is ambiguous"), cat("There are ", join(names, ", "), "."));
  }
  throw UsageError(
      cat("--card '", name, "' is not known; known are ", listed(catalogue)),
      "For another card: --cards FILE in the form of share/yolodist/cards.yaml, or the nearest one with "
      "--device-memory.");
}

const Card* recognise_card(const CardCatalogue& catalogue, std::string_view device_name,
                           int64_t memory_bytes) {
  // The driver's name has the form factor between model and size: compare up to the size, then the memory.
  constexpr double tolerance = 0.08;
  const std::string word = plain(device_name);
  const Card* best = nullptr;
  double best_difference = tolerance;
  for (const Card& card : catalogue.cards) {
    const std::string model = plain(std::string_view(card.name).substr(0, card.name.find('-')));
    const bool ends =
        word.size() == model.size() || std::isdigit(static_cast<unsigned char>(word[model.size()])) == 0;
    const double difference =
        std::abs(static_cast<double>(memory_bytes) / static_cast<double>(card.memory_bytes) - 1);
    // "h10080gbhbm3": after the model its size may follow.
    const bool is_size = word.substr(std::min(word.size(), model.size())).find("gb") != std::string::npos;
    if (word.starts_with(model) && (ends || is_size) && difference < best_difference) {
      best = &card;
      best_difference = difference;
    }
  }
  return best;
}

Device device_of_card(const Card& card, Precision precision) {
  Device device;
  device.kind = DeviceKind::cuda;
  device.card = card.name;
  device.budget_bytes = card.memory_bytes;
  const bool is_half = precision == Precision::fp16 || precision == Precision::bf16;
  device.flops_per_s = is_half ? card.fp16_flops_per_s : card.fp32_flops_per_s;
  device.bytes_per_s = card.bytes_per_s;
  device.overhead = card.overhead;
  return device;
}

Device unlisted_device(const CardCatalogue& catalogue, std::string name, int64_t memory_bytes) {
  Device device;
  device.kind = DeviceKind::cuda;
  device.card = std::move(name);
  device.budget_bytes = memory_bytes;
  device.flops_per_s = 20e12;
  device.bytes_per_s = 700e9;
  device.overhead = catalogue.defaults;
  return device;
}

}  // namespace yolodist::plan
