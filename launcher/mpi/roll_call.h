// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "launcher/mpi/session.h"

namespace yolodist::mpi {

// Exchanges that find out which rank is silent or slow, for looking at an allocation. Collective, outside the
// event loop, on the control communicator; nothing else may use it meanwhile. They sleep while they wait.

// How long rank 0 waits; the others wait longer, so that it is rank 0 that speaks, and if rank 0 itself is
// silent the first of them.
struct Patience {
  std::chrono::milliseconds limit{0};
  std::string what;                // for the message: "looking at its host"
  std::vector<std::string> names;  // of the ranks: "rank 1 on node2"; empty = "rank 1"
};

// Rank 0 gets the texts of all ranks, the others nothing. Throws PeerLost that names the silent ranks.
std::vector<std::string> call_roll(Session& session, const std::string& mine, const Patience& patience);

// What rank 0 sees of another rank.
struct PeerLink {
  double round_trip_seconds = 0;   // the shortest of some
  double clock_ahead_seconds = 0;  // its clock against rank 0's, good to half a round trip
  double bytes_per_second = 0;     // there and back, of `link_bytes`; the best of some
};
constexpr int64_t link_bytes = int64_t{4} << 20;

// One rank after the other answers to rank 0; `patience` counts for each. Rank 0 gets a link a rank, its own
// empty; the others nothing. Throws PeerLost.
std::vector<PeerLink> measure_links(Session& session, const Patience& patience);

// The seconds of an all-reduce of `bytes` of floats over all ranks, as training does it; the shortest of
// some, after one that does not count. Throws PeerLost, on all ranks alike, if it does not end.
double measure_all_reduce(Session& session, int64_t bytes, const Patience& patience);

}  // namespace yolodist::mpi
