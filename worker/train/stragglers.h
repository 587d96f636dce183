// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <span>
#include <string>
#include <vector>

namespace yolodist::train {

// Which ranks hold up the others. What counts is how long a rank itself takes until it is ready to reduce,
// its data included and its waiting for others not: inside the all-reduce all take equally long, so that
// nothing can be told there.
class StragglerWatch {
 public:
  using Clock = std::chrono::steady_clock;

  // A rank is late that takes `factor` times the median of the others, and over `least_ms` more than it, on
  // average over a time of `window`, again and again for `patience`.
  struct Rule {
    double factor = 1.3;
    double least_ms = 5;
    std::chrono::seconds window{10};
    std::chrono::seconds patience{60};
    std::chrono::seconds silence{600};  // until the same rank is named again
  };
  struct Late {
    int rank = 0;
    double own_ms = 0, median_ms = 0;  // means of an iteration over the last window
    std::chrono::seconds since{};
  };

  StragglerWatch(int world_size, const Rule& rule, Clock::time_point now);

  // After each iteration: `own_ms` by rank. Returns who is to be named now.
  std::vector<Late> add(std::span<const double> own_ms, Clock::time_point now);

 private:
  struct Rank {
    double sum_ms = 0;
    Clock::time_point on_time_at;  // the end of the last window in which it was not late
    Clock::time_point quiet_until;
  };
  double median_of_others(size_t rank) const;

  Rule rule_;
  std::vector<Rank> ranks_;
  int iterations_ = 0;  // in this window
  Clock::time_point window_start_;
};

// "rank 3 on node2 holds up the others: …". `hosts` by rank.
std::string line_of(const StragglerWatch::Late& late, const std::vector<std::string>& hosts);

}  // namespace yolodist::train
