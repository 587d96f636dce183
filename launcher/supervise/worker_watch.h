// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "launcher/supervise/supervisor.h"

namespace yolodist::supervise {

// What is known of a worker that should be at work, and when that is too little.
class WorkerWatch {
 public:
  using Clock = std::chrono::steady_clock;

  WorkerWatch(const Limits& limits, Clock::time_point now);

  void said_hello() { has_said_hello_ = true; }
  // An iteration is over.
  void made_progress(Clock::time_point now);
  // Its memory, from a thread of its own: it lives, whatever it computes.
  void sent_sample(const std::string& phase, Clock::time_point now);
  // It asked for something, or got what it had asked for.
  void was_active(Clock::time_point now) { active_at_ = now; }

  // As in PeerWatch.
  void forget_silence(Clock::time_point now);

  struct Trouble {
    bool is_start = false;  // it never came up: a bug or a file system, not a lost peer
    std::string what, hint;
  };
  // Nothing while all is well. `waits` = it waits for collectives, so that others hold it up.
  std::optional<Trouble> trouble(bool waits, Clock::time_point now) const;

  // The longest time between two iterations so far, validation included; 0 before there were two.
  Clock::duration longest_gap() const { return longest_gap_; }

 private:
  Clock::duration stuck_after() const;

  Limits limits_;
  bool has_said_hello_ = false;
  std::string phase_ = "start";
  Clock::time_point started_at_, active_at_;
  std::optional<Clock::time_point> heard_at_, progress_at_;
  Clock::duration longest_gap_{}, longest_step_{};
  bool has_left_step_ = false;  // since the last iteration: validation, a checkpoint
};

}  // namespace yolodist::supervise
