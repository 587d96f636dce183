// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/supervise/worker_watch.h"

#include <algorithm>
#include <utility>

#include "common/base/text.h"

namespace yolodist::supervise {
namespace {

// A step may take this many times the longest one so far before it counts as stuck.
constexpr int step_factor = 10;

bool is_part_of_step(const std::string& phase) {
  return phase != "validation" && phase != "checkpoint";
}

long long seconds(WorkerWatch::Clock::duration duration) {
  return std::chrono::duration_cast<std::chrono::seconds>(duration).count();
}

}  // namespace

WorkerWatch::WorkerWatch(const Limits& limits, Clock::time_point now)
    : limits_(limits), started_at_(now), active_at_(now) {}

void WorkerWatch::made_progress(Clock::time_point now) {
  if (progress_at_) {
    longest_gap_ = std::max(longest_gap_, now - *progress_at_);
    if (!std::exchange(has_left_step_, false)) {
      longest_step_ = std::max(longest_step_, now - *progress_at_);
    }
  }
  progress_at_ = heard_at_ = active_at_ = now;
}

void WorkerWatch::sent_sample(const std::string& phase, Clock::time_point now) {
  heard_at_ = now;
  if (phase != phase_) {
    active_at_ = now;
    phase_ = phase;
  }
  has_left_step_ = has_left_step_ || !is_part_of_step(phase);
}

void WorkerWatch::forget_silence(Clock::time_point now) {
  active_at_ = now;
  if (heard_at_) {
    heard_at_ = now;
  }
}

WorkerWatch::Clock::duration WorkerWatch::stuck_after() const {
  // Between two phases a worker names "start", as before the first.
  if (!is_part_of_step(phase_) || (!progress_at_ && phase_ == "start")) {
    return limits_.stuck_elsewhere;
  }
  return progress_at_ ? std::max<Clock::duration>(limits_.stuck_step, step_factor * longest_step_)
                      : limits_.stuck_first_step;
}

std::optional<WorkerWatch::Trouble> WorkerWatch::trouble(bool waits, Clock::time_point now) const {
  if (!has_said_hello_ && now - started_at_ > limits_.hello) {
    return Trouble{true, cat("the worker said nothing for ", limits_.hello.count(), " s after its start"),
                   "A file system may be stuck while LibTorch is loaded."};
  }
  if (!heard_at_) {
    return std::nullopt;  // val and detect send no samples
  }
  if (now - *heard_at_ > limits_.silence) {
    return Trouble{false, cat("the worker has said nothing for ", limits_.silence.count(), " s"),
                   "It is stopped, or waits for a device or a file system."};
  }
  if (!waits && now - active_at_ > stuck_after()) {
    return Trouble{false, cat("the worker is stuck: for ", seconds(now - active_at_), " s in ", phase_),
                   phase_ == "data" ? "A picture cannot be read to its end: is the data's file system there?"
                                    : "The other ranks wait for it. Is its device or file system stuck?"};
  }
  return std::nullopt;
}

}  // namespace yolodist::supervise
