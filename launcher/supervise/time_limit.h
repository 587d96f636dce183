// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>

namespace yolodist::supervise {

// When a job has to be over, and whether it is time to save and stop for that.
class TimeLimit {
 public:
  using Clock = std::chrono::system_clock;

  // `name` is what set the end: "--time-limit 2:00:00". A stop is asked for early enough for one more
  // stretch between two iterations and for `reserve`: saving, ending, the scheduler's own inaccuracy.
  TimeLimit(Clock::time_point end, std::string name, std::chrono::seconds reserve);

  // `longest_gap`: the longest time so far between two iterations, since stops take place only there.
  bool is_due(Clock::time_point now, std::chrono::nanoseconds longest_gap) const;

  Clock::time_point end() const { return end_; }
  const std::string& name() const { return name_; }

 private:
  Clock::time_point end_;
  std::string name_;
  std::chrono::seconds reserve_;
};

// The earlier of `limit` after `start` (0 = none) and SLURM's end of the job (SLURM_JOB_END_TIME, seconds
// since 1970); nothing where there is neither.
std::optional<TimeLimit> time_limit_of(std::chrono::seconds limit, TimeLimit::Clock::time_point start,
                                       const std::function<const char*(const char* name)>& get);

}  // namespace yolodist::supervise
