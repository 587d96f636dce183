// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <vector>

namespace yolodist::supervise {

// Which launchers are still heard. Rank 0 and each other rank tell each other once a second that they are
// there: rank 0 misses any of them, the others miss rank 0. A dead host or a cut link is known by nothing
// else: mpirun was measured not to notice a cut link within a minute.
class PeerWatch {
 public:
  using Clock = std::chrono::steady_clock;

  PeerWatch(int rank, int size, std::chrono::seconds silence, Clock::time_point now);

  // Something came from that rank.
  void heard(int from, Clock::time_point now) { heard_at_[static_cast<size_t>(from)] = now; }
  // This launcher did not run itself for a while (stopped, or the machine slept): silence meant nothing.
  void forget_silence(Clock::time_point now);
  // The ranks to send a sign of life to now; empty if the last one was less than a second ago.
  std::vector<int> beats_due(Clock::time_point now);
  // The ranks that have said nothing for longer than `silence`, of those that this rank listens to.
  std::vector<int> silent(Clock::time_point now) const;

 private:
  std::vector<int> others_;  // that this rank listens to and sends to
  std::chrono::seconds silence_;
  std::vector<Clock::time_point> heard_at_;
  Clock::time_point beat_at_;
};

}  // namespace yolodist::supervise
