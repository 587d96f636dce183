// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/telemetry/console.h"

#include <algorithm>
#include <cmath>

#include "common/base/text.h"

namespace yolodist::telemetry {
namespace {

constexpr int kBarWidth = 10;

// Ten characters, filled in eighths of one.
std::string bar(double fraction) {
  static const char* const eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const int filled = static_cast<int>(std::clamp(fraction, 0.0, 1.0) * kBarWidth * 8);
  std::string text;
  for (int i = 0; i < filled / 8; ++i) {
    text += "█";
  }
  text += eighths[filled % 8];
  const int used = filled / 8 + (filled % 8 > 0 ? 1 : 0);
  return text + std::string(static_cast<size_t>(kBarWidth - used), ' ');
}

std::string peak_text(const Progress& progress) {
  if (progress.worst_peak_bytes <= 0) {
    return "";
  }
  std::string text = printf_string(" peak %.2f", static_cast<double>(progress.worst_peak_bytes) / 1e9);
  if (progress.worst_budget_bytes > 0) {
    text += printf_string("/%.2f", static_cast<double>(progress.worst_budget_bytes) / 1e9);
  }
  text += "G";
  if (progress.worst_rank >= 0) {
    text += cat(" r", progress.worst_rank);
  }
  return text;
}

}  // namespace

std::string epoch_header() {
  return printf_string("%11s%11s%11s%11s%11s%11s%11s", "Epoch", "GPU_mem", "box_loss", "obj_loss", "cls_loss",
                       "Instances", "Size");
}

std::string epoch_columns(const Progress& progress) {
  const std::string epoch = cat(progress.epoch, "/", progress.epochs - 1);
  const std::string memory = printf_string("%.3gG", static_cast<double>(progress.memory_bytes) / 1e9);
  return printf_string("%11s%11s%11.4g%11.4g%11.4g%11.4g%11.4g", epoch.c_str(), memory.c_str(), progress.box,
                       progress.obj, progress.cls, static_cast<double>(progress.instances),
                       static_cast<double>(progress.imgsz_px));
}

std::string clock_text(double seconds) {
  const auto whole = static_cast<long long>(std::max(0.0, seconds));
  const long long hours = whole / 3600, minutes = whole / 60 % 60;
  return hours > 0 ? printf_string("%lld:%02lld:%02lld", hours, minutes, whole % 60)
                   : printf_string("%02lld:%02lld", minutes, whole % 60);
}

std::string progress_line(const Progress& progress) {
  const double fraction =
      progress.total > 0 ? static_cast<double>(progress.done) / static_cast<double>(progress.total) : 0.0;
  const double rate = progress.elapsed_s > 0
                          ? static_cast<double>(progress.done - progress.done_before) / progress.elapsed_s
                          : 0.0;
  const std::string remaining =
      rate > 0 ? clock_text(static_cast<double>(progress.total - progress.done) / rate) : "?";
  // Slow iterations are told in seconds each.
  const std::string pace = rate <= 0  ? "?it/s"
                           : rate < 1 ? printf_string("%5.2fs/it", 1 / rate)
                                      : printf_string("%5.2fit/s", rate);
  return cat(epoch_columns(progress), printf_string(": %3.0f%%|", std::floor(fraction * 100)), bar(fraction),
             "| ", progress.done, "/", progress.total, " [", clock_text(progress.elapsed_s), "<", remaining,
             ", ", pace, "]", peak_text(progress));
}

std::string start_lines(int imgsz_px, int workers, const std::string& run_folder, int epochs) {
  return cat("Image sizes ", imgsz_px, " train, ", imgsz_px, " val\nUsing ", workers,
             " dataloader workers\nLogging results to ", run_folder, "\nStarting training for ", epochs,
             " epochs...");
}

std::string end_line(int epochs, double seconds) {
  return printf_string("%d epochs completed in %.3f hours.", epochs, seconds / 3600);
}

}  // namespace yolodist::telemetry
