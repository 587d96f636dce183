// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/train/stragglers.h"

#include <algorithm>

#include "common/base/text.h"

namespace yolodist::train {

StragglerWatch::StragglerWatch(int world_size, const Rule& rule, Clock::time_point now)
    : rule_(rule), ranks_(static_cast<size_t>(world_size), Rank{0, now, now}), window_start_(now) {}

double StragglerWatch::median_of_others(size_t rank) const {
  std::vector<double> sums;
  for (size_t other = 0; other < ranks_.size(); ++other) {
    if (other != rank) {
      sums.push_back(ranks_[other].sum_ms);
    }
  }
  std::sort(sums.begin(), sums.end());
  const size_t half = sums.size() / 2;
  return sums.size() % 2 == 1 ? sums[half] : (sums[half - 1] + sums[half]) / 2;
}

std::vector<StragglerWatch::Late> StragglerWatch::add(std::span<const double> own_ms, Clock::time_point now) {
  for (size_t rank = 0; rank < ranks_.size(); ++rank) {
    ranks_[rank].sum_ms += own_ms[rank];
  }
  ++iterations_;
  if (ranks_.size() < 2 || now - window_start_ < rule_.window) {
    return {};
  }
  std::vector<Late> late;
  for (size_t i = 0; i < ranks_.size(); ++i) {
    Rank& rank = ranks_[i];
    const double median = median_of_others(i);
    const bool is_late =
        rank.sum_ms > rule_.factor * median && rank.sum_ms - median > rule_.least_ms * iterations_;
    if (!is_late) {
      rank.on_time_at = now;
    } else if (now - rank.on_time_at >= rule_.patience && now >= rank.quiet_until) {
      rank.quiet_until = now + rule_.silence;
      late.push_back({static_cast<int>(i), rank.sum_ms / iterations_, median / iterations_,
                      std::chrono::duration_cast<std::chrono::seconds>(now - rank.on_time_at)});
    }
  }
  for (Rank& rank : ranks_) {
    rank.sum_ms = 0;
  }
  iterations_ = 0;
  window_start_ = now;
  return late;
}

std::string line_of(const StragglerWatch::Late& late, const std::vector<std::string>& hosts) {
  return printf_string(
      "rank %d on %s holds up the others: for %lld s now it takes %.0f ms an iteration until its gradients "
      "are "
      "ready, the median of the others is %.0f ms (%.1f times as long). Is its device slower or shared, its "
      "data "
      "farther away, or are there fewer cores?",
      late.rank, hosts.at(static_cast<size_t>(late.rank)).c_str(), static_cast<long long>(late.since.count()),
      late.own_ms, late.median_ms, late.own_ms / late.median_ms);
}

}  // namespace yolodist::train
