// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/plan/granule.h"
#include "worker/memory/holders.h"
#include "worker/memory/mark.h"

namespace yolodist::memory {

using plan::granule_bytes;
using plan::rounded;

// Makes LibTorch take its CPU memory from an allocator that counts: once a process, before the first tensor;
// further calls do nothing. What is allocated under Kind::host (staging of pictures, checkpoints) is counted
// apart and is not part of the budget. Process-wide and thread-safe.
void install_counting_allocator();

// From now on an allocation that would take the counted bytes past `bytes` throws c10::OutOfMemoryError,
// which says what was asked for, held and allowed and where, and leaves a Shortage; 0 = no budget. What is
// held already stays. The host's own end of memory is answered in the same way, under Kind::host too.
void set_budget(int64_t bytes);
int64_t budget_bytes();

// Counts memory that LibTorch does not allocate (gradient buckets in shared memory, or in a card's by NCCL):
// in `bytes`, rounded up, for no layer. charge throws as an allocation would.
void charge(int64_t bytes, Kind kind);
void discharge(int64_t bytes, Kind kind);

// A charge that lasts as long as this.
class Charge {
 public:
  Charge(int64_t bytes, Kind kind) : bytes_(bytes), kind_(kind) { charge(bytes, kind); }
  ~Charge() { discharge(bytes_, kind_); }
  Charge(const Charge&) = delete;
  Charge& operator=(const Charge&) = delete;

 private:
  int64_t bytes_;
  Kind kind_;
};

struct Counters {
  int64_t current_bytes = 0, peak_bytes = 0;  // of the budget
  int64_t host_bytes = 0, host_peak_bytes = 0;
  int64_t charged_bytes = 0;  // the part of current_bytes that charge() brought
};
Counters counters();
void reset_peak();  // both peaks to the current bytes

// Live bytes of the budget, largest first. Together they are current_bytes, but for what other threads do
// meanwhile.
std::vector<Holder> holders();
// Of them, what charge() brought.
std::vector<Holder> charged_holders();

// The allocation that failed last, as it was at that moment. take_shortage also forgets it.
struct Shortage {
  int64_t requested_bytes = 0, held_bytes = 0, budget_bytes = 0;
  Mark mark;  // of the thread that asked; its `piece` is null and stands below as text
  std::string piece;
  std::vector<Holder> holders;  // at that moment
};
std::optional<Shortage> take_shortage();
// Leaves a shortage that another allocator met (CUDA's).
void leave_shortage(Shortage shortage);

// While it lives, what fails on this thread leaves no Shortage: whoever asks can do without.
class SpareScope {
 public:
  SpareScope();
  ~SpareScope();
  SpareScope(const SpareScope&) = delete;
  SpareScope& operator=(const SpareScope&) = delete;

 private:
  bool before_;
};

// For tests and tools: calls back after every counted allocation or charge (+) and before every release (-),
// with the bytes rounded and the mark that they were taken under, Kind::host too. One call at a time, from
// any thread; the callback must not allocate tensors. After set_observer returns, the one before is not
// called any more. A release's `piece` may point into a layer table that is gone.
using Observer = void (*)(int64_t bytes, const Mark& mark, void* context);
void set_observer(Observer observer, void* context);

}  // namespace yolodist::memory
