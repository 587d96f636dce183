// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "common/run/ownership.h"

namespace yolodist::supervise {

// Rank 0's eye on the run directory, in a thread of its own: a file system that does not answer must not keep
// the launcher from its peers, nor from ending. Renews the sign of life in the owner file, looks for what
// `yolodist stop` leaves, and sees when another job has taken the run over.
class RunWatch {
 public:
  // The owner file is there already (run::write_owner).
  RunWatch(const run::RunDirectory& run, const std::string& run_token, const run::Owner& owner);
  // Takes the owner file away, if the run is still this job's. Waits for a file system for five seconds.
  ~RunWatch();
  RunWatch(const RunWatch&) = delete;
  RunWatch& operator=(const RunWatch&) = delete;

  // A stop was asked for since the last call.
  bool take_stop();
  bool is_taken_over() const;

 private:
  struct State;
  static void look(State& state);
  std::shared_ptr<State> state_;  // with the thread, which may outlive this
};

}  // namespace yolodist::supervise
