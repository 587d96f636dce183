// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>

namespace yolodist::supervise {

// How long to sleep between looks at MPI: short while something has just begun, longer while it takes long,
// so that waiting costs next to nothing and a transfer that is about to finish is noticed soon.
class SleepRhythm {
 public:
  void something_happened() { since_ = std::chrono::steady_clock::now(); }
  std::chrono::nanoseconds next() const;
  bool is_long() const;  // nothing has happened for so long that looking often does not help

 private:
  std::chrono::steady_clock::time_point since_ = std::chrono::steady_clock::now();
};

}  // namespace yolodist::supervise
