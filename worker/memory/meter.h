// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/core/Device.h>

#include <array>
#include <cstdint>
#include <vector>

#include "worker/memory/holders.h"
#include "worker/memory/mark.h"

namespace yolodist::memory {

// The memory of this rank's device, the same for a CPU with the counting allocator and for a CUDA card with
// LibTorch's caching allocator.
struct Reading {
  int64_t current_bytes = 0;   // in use by tensors and by what charge() counts
  int64_t peak_bytes = 0;      // the highest since the last reset
  int64_t highest_bytes = 0;   // the highest since start, or since forget_highest: resets do not touch it
  int64_t reserved_bytes = 0;  // taken from the device; on the CPU the same as current
  int64_t host_bytes = 0;      // staging: pictures, checkpoints; not part of the budget
};
Reading read(c10::Device device);
void reset_peak(c10::Device device);
void forget_highest();
// What holds the device's memory, largest first. On CUDA from watch_for_shortage on, and without what the
// caching allocator adds when it takes a larger block than was asked for.
std::vector<Holder> holders(c10::Device device);

// Holds a CUDA device to `bytes` by the caching allocator's fraction; on the CPU set_budget. 0 = no budget.
// On CUDA what charge() counts at the time is taken off, so call it again after the gradient buckets are
// made.
void limit(c10::Device device, int64_t bytes);
int64_t limit_of(c10::Device device);  // 0 = no budget

// On CUDA, makes the caching allocator tell who takes what and leave a Shortage when it runs out; call once
// the device is bound. Does nothing on the CPU, whose allocator always does. Source: pytorch/pytorch issue
// 107330 (an observer that is attached before CUDA starts is lost).
void watch_for_shortage(c10::Device device);

// The highest use within each phase since start or reset.
class PhasePeaks {
 public:
  explicit PhasePeaks(c10::Device device) : device_(device) {}
  // Call at the end of a phase: takes the peak since the last call into account for it and resets the peak.
  void note(Phase phase);
  int64_t of(Phase phase) const { return peaks_[static_cast<size_t>(phase)]; }
  int64_t highest() const;
  void reset() { peaks_ = {}; }

 private:
  c10::Device device_;
  std::array<int64_t, phase_count> peaks_{};
};

}  // namespace yolodist::memory
