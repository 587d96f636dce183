// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

namespace yolodist::supervise {

// SIGINT, SIGTERM, SIGUSR1, SIGUSR2 and SIGCHLD as a descriptor to poll instead of handlers. They are blocked
// for the whole process while this lives: make it before MPI starts its threads.
class SignalQueue {
 public:
  SignalQueue();
  ~SignalQueue();
  SignalQueue(const SignalQueue&) = delete;
  SignalQueue& operator=(const SignalQueue&) = delete;

  int descriptor() const { return descriptor_; }
  // The next signal that has come, if any. Never blocks.
  std::optional<int> next();

 private:
  int descriptor_ = -1;
};

// "SIGUSR1"; "signal 42" for one without a common name.
std::string signal_name(int number);

}  // namespace yolodist::supervise
