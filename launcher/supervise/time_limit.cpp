// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/supervise/time_limit.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "common/base/duration.h"
#include "common/base/text.h"

namespace yolodist::supervise {
namespace {

// Of a limit: short ones are for trials, where a minute would be all of it.
constexpr std::chrono::seconds longest_reserve{60};
constexpr int share_of_limit = 10;

}  // namespace

TimeLimit::TimeLimit(Clock::time_point end, std::string name, std::chrono::seconds reserve)
    : end_(end), name_(std::move(name)), reserve_(reserve) {}

bool TimeLimit::is_due(Clock::time_point now, std::chrono::nanoseconds longest_gap) const {
  return now + longest_gap + longest_gap / 2 + reserve_ >= end_;
}

std::optional<TimeLimit> time_limit_of(std::chrono::seconds limit, TimeLimit::Clock::time_point start,
                                       const std::function<const char*(const char* name)>& get) {
  std::optional<TimeLimit> earliest;
  if (limit.count() > 0) {
    earliest = TimeLimit(start + limit, cat("--time-limit ", to_string(limit)),
                         std::min(longest_reserve, limit / share_of_limit));
  }
  const char* text = get("SLURM_JOB_END_TIME");
  const long long end_s = text == nullptr ? 0 : std::atoll(text);
  if (std::chrono::seconds(end_s) > start.time_since_epoch()) {  // a past one is a mistake of whoever set it
    const TimeLimit::Clock::time_point end{std::chrono::seconds(end_s)};
    const auto left = std::chrono::duration_cast<std::chrono::seconds>(end - start);
    if (!earliest || end < earliest->end()) {
      earliest = TimeLimit(end, "SLURM's time limit",
                           std::clamp(left / share_of_limit, std::chrono::seconds(0), longest_reserve));
    }
  }
  return earliest;
}

}  // namespace yolodist::supervise
