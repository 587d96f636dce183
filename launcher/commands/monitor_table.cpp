// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/commands/monitor_table.h"

#include <algorithm>
#include <cmath>

#include "common/base/bytes.h"
#include "common/base/text.h"

namespace yolodist::commands {
namespace {

constexpr int bar_width = 10;

// Ten characters, filled in eighths of one.
std::string bar(double fraction) {
  static const char* const eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const int filled = static_cast<int>(std::clamp(fraction, 0.0, 1.0) * bar_width * 8);
  std::string text;
  for (int i = 0; i < filled / 8; ++i) {
    text += "█";
  }
  text += eighths[filled % 8];
  return text + std::string(static_cast<size_t>(bar_width - (filled + 7) / 8), ' ');
}

std::string coloured_bar(double fraction, bool has_colours) {
  if (!has_colours) {
    return bar(fraction);
  }
  const char* colour = fraction >= 0.98 ? "\x1b[31m" : fraction >= 0.9 ? "\x1b[33m" : "\x1b[32m";
  return cat(colour, bar(fraction), "\x1b[0m");
}

std::string amount(int64_t bytes) {
  return bytes > 0 ? to_string(Bytes{bytes}) : "-";
}

std::string duration(double seconds) {
  const auto whole = static_cast<long long>(seconds);
  return whole < 120      ? cat(whole, " s")
         : whole < 7200   ? cat(whole / 60, " min")
         : whole < 172800 ? cat(whole / 3600, " h")
                          : cat(whole / 86400, " days");
}

std::string state(const RunView& run) {
  switch (run.state) {
    case RunState::starting:
      return "starting: nothing has been measured yet";
    case RunState::running:
      return "running";
    case RunState::silent:
      return cat("not running: the last sign of life was ", duration(run.silent_s), " ago");
    case RunState::failed:
      return cat("failed: ", run.state_text);
    case RunState::finished:
      return run.state_text.empty() || run.state_text == "complete" ? "finished"
                                                                    : cat("finished: ", run.state_text);
  }
  return "";
}

std::string progress(const RunView& run) {
  if (!run.iteration) {
    return "no iteration in the books yet";
  }
  const IterationView& i = *run.iteration;
  const std::string last_epoch = run.epochs > 0 ? cat("/", run.epochs - 1) : "";
  std::string text = cat("epoch ", i.epoch, last_epoch, ", iteration ", i.iteration, ", step ", i.step);
  if (!std::isnan(i.images_per_s)) {
    text += printf_string(", %.3g img/s", i.images_per_s);
  }
  // Of a loss that was not finite the file has null.
  return text + (std::isnan(i.total) ? ", loss not finite"
                                     : printf_string(", loss %.4g (box %.4g, obj %.4g, cls %.4g)", i.total,
                                                     i.box, i.obj, i.cls));
}

std::string rank_line(const RankView& rank, size_t index, bool has_colours) {
  std::string share = printf_string("%8s", "-");
  if (rank.budget_bytes > 0 && rank.peak_bytes > 0) {
    const double fraction = static_cast<double>(rank.peak_bytes) / static_cast<double>(rank.budget_bytes);
    share = cat(printf_string("%7.1f%% |", 100 * fraction), coloured_bar(fraction, has_colours), "|");
  }
  return printf_string("%4zu  %-11s%11s%11s%11s%11s%11s", index,
                       rank.phase.empty() ? "-" : rank.phase.c_str(), amount(rank.used_bytes).c_str(),
                       amount(rank.peak_bytes).c_str(), amount(rank.planned_bytes).c_str(),
                       amount(rank.budget_bytes).c_str(), amount(rank.host_bytes).c_str()) +
         "  " + share +
         (rank.others_bytes > 0 ? cat("  other processes hold ", amount(rank.others_bytes)) : "");
}

// Columns that a line takes: neither the second and further bytes of a character nor colours count.
std::string cut(const std::string& line, int columns) {
  if (columns <= 0) {
    return line;
  }
  std::string shown;
  int used = 0;
  for (size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '\x1b') {
      const size_t end = line.find('m', i);
      shown.append(line, i, end - i + 1);
      i = end;
      continue;
    }
    const bool begins_character = (static_cast<unsigned char>(line[i]) & 0xc0) != 0x80;
    used += begins_character ? 1 : 0;
    if (used <= columns) {
      shown += line[i];
    }
  }
  return shown;
}

}  // namespace

std::vector<std::string> monitor_table(const RunView& run, const Screen& screen) {
  std::vector<std::string> lines;
  lines.push_back(cat(run.root.string(), ": ", state(run)));
  lines.push_back(cat(run.model.empty() ? "a model" : run.model, ", ", run.imgsz_px, " px, batch ",
                      run.global_batch, ", ", run.world_size, run.world_size == 1 ? " rank" : " ranks",
                      run.host.empty() ? "" : cat(", rank 0 on ", run.host)));
  lines.push_back(progress(run));
  if (!run.last_event.empty()) {
    lines.push_back(run.last_event);
  }
  lines.emplace_back();
  lines.push_back(printf_string("%4s  %-11s%11s%11s%11s%11s%11s  %s", "rank", "phase", "used", "peak", "plan",
                                "budget", "host", "peak of budget"));
  const size_t room = screen.rows > 0 ? static_cast<size_t>(std::max(screen.rows - 1, 1)) : SIZE_MAX;
  for (size_t rank = 0; rank < run.ranks.size(); ++rank) {
    const size_t left = run.ranks.size() - rank;
    if (lines.size() + 1 >= room && left > 1) {
      lines.push_back(cat("      … and ", left, " more; a taller window or --once shows them"));
      break;
    }
    lines.push_back(rank_line(run.ranks[rank], rank, screen.has_colours));
  }
  for (std::string& line : lines) {
    std::replace_if(
        line.begin(), line.end(), [](char c) { return c == '\n' || c == '\r'; }, ' ');
    line = cut(line, screen.columns);
  }
  return lines;
}

}  // namespace yolodist::commands
