// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace yolodist::telemetry {

// What the console shows of a running epoch.
struct Progress {
  int epoch = 0, epochs = 0;         // epoch from 0
  int64_t memory_bytes = 0;          // reserved on the device, 0 where nothing is counted
  double box = 0, obj = 0, cls = 0;  // means since the epoch's start
  int64_t instances = 0;             // labels of the last global batch
  int imgsz_px = 0;
  int64_t done = 0, total = 0;  // iterations of the epoch
  int64_t done_before = 0;      // of those, by an earlier attempt: elapsed_s is without them
  double elapsed_s = 0;
  // The rank whose peak fills the largest part of its budget; without budgets the one with the largest peak.
  int64_t worst_peak_bytes = 0;    // 0 = not known, nothing is shown
  int64_t worst_budget_bytes = 0;  // 0 = none
  int worst_rank = -1;             // -1 = there is only one
};

// YOLOv5's table of an epoch. The header is printed with an empty line before it (not included here).
std::string epoch_header();
// The seven columns.
std::string epoch_columns(const Progress& progress);
// The columns with percent, bar, count, times and memory ("peak 1.23/2.00G r3"): what is overwritten while
// the epoch runs, and stands at its end. G is 1e9 bytes there, as in YOLOv5's GPU_mem.
std::string progress_line(const Progress& progress);

// "1:02:03", or "02:03" below an hour.
std::string clock_text(double seconds);

// The four lines before the first epoch, joined by line ends. `workers` of all ranks together.
std::string start_lines(int imgsz_px, int workers, const std::string& run_folder, int epochs);
// "3 epochs completed in 0.012 hours."
std::string end_line(int epochs, double seconds);

}  // namespace yolodist::telemetry
