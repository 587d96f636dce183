// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

namespace yolodist::supervise {

// SIGINT, SIGTERM, SIGUSR1, SIGUSR2 and SIGCHLD as a descriptor to poll instead of handlers. They are blocked
// for the whole process from then on: make it before MPI starts its threads. `also` is one more, 0 = none.
class SignalQueue {
 public:
  explicit SignalQueue(int also = 0);
  ~SignalQueue();
  SignalQueue(const SignalQueue&) = delete;
  SignalQueue& operator=(const SignalQueue&) = delete;

  int descriptor() const { return descriptor_; }
  // The next signal that has come, if any. Never blocks.
  std::optional<int> next();

 private:
  int descriptor_ = -1;
};

}  // namespace yolodist::supervise
