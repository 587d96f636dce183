// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>

#include "worker/memory/mark.h"

namespace yolodist::train {

// For tests of what follows an out-of-memory (--inject-shortage RANK:PHASE:ITERATION:BYTES): once, at the
// beginning of that phase of that iteration, one rank loses so much memory that BYTES are left of its budget,
// until the iteration is given up. With the phase `reserve` it loses BYTES for good.
class InjectedShortage {
 public:
  // "" = none. Throws UsageError for what cannot be read.
  InjectedShortage(const std::string& text, int rank, at::Device device);

  void enter(memory::Phase phase, int64_t iteration);
  void give_back();

 private:
  bool is_armed_ = false;
  bool is_lasting_ = false;
  memory::Phase phase_ = memory::Phase::forward;
  int64_t iteration_ = 0, bytes_ = 0;
  at::Device device_;
  at::Tensor held_;
};

}  // namespace yolodist::train
