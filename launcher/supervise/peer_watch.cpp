// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/supervise/peer_watch.h"

#include <algorithm>

namespace yolodist::supervise {
namespace {

constexpr std::chrono::seconds beat_interval{1};

}  // namespace

PeerWatch::PeerWatch(int rank, int size, std::chrono::seconds silence, Clock::time_point now)
    : silence_(silence), heard_at_(static_cast<size_t>(size), now), beat_at_(now - beat_interval) {
  for (int other = rank == 0 ? 1 : 0; other < (rank == 0 ? size : 1); ++other) {
    others_.push_back(other);
  }
}

void PeerWatch::forget_silence(Clock::time_point now) {
  std::fill(heard_at_.begin(), heard_at_.end(), now);
}

std::vector<int> PeerWatch::beats_due(Clock::time_point now) {
  if (now - beat_at_ < beat_interval) {
    return {};
  }
  beat_at_ = now;
  return others_;
}

std::vector<int> PeerWatch::silent(Clock::time_point now) const {
  std::vector<int> ranks;
  for (const int other : others_) {
    if (now - heard_at_[static_cast<size_t>(other)] > silence_) {
      ranks.push_back(other);
    }
  }
  return ranks;
}

}  // namespace yolodist::supervise
