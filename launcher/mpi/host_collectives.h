// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "common/protocol/messages.h"
#include "launcher/mpi/session.h"

namespace yolodist::mpi {

struct FinishedCollective {
  protocol::Channel channel = protocol::Channel::small;
  int64_t sequence = 0;
};

// The workers' collectives, non-blocking, each channel on its own communicator, in place on the given memory.
// A channel's collectives start strictly by sequence number, never by arrival: one that comes early waits.
//
// Each begins with a barrier (on a communicator of its own): while ranks are still computing, a look now and
// then is enough, and only when all have come do data move, which takes many looks in a row. Measured without
// it: a rank that came 200 ms late waited 50 ms for a bucket of 1 MB, since the others slept 2 ms between the
// steps of the transfer.
class HostCollectives {
 public:
  // Reductions and broadcasts are cut into segments, some of them under way at a time. MPI moves a message on
  // only when it is called, a few fragments a call: one of 8 MB took 173 ms, 128 of 64 KiB took 14 ms (two
  // ranks, copies through shared memory; 6 and 9 ms where the kernel lets processes read each other's
  // memory).
  struct Cuts {
    int64_t segment_bytes = int64_t{64} << 10;
    int most_segments = 32;  // under way in a channel
    int64_t largest_gather_bytes = int64_t{1}
                                   << 30;  // a rank, as one MPI count; more becomes a type of its own
  };

  explicit HostCollectives(Session& session) : HostCollectives(session, Cuts()) {}
  HostCollectives(Session& session, const Cuts& cuts);
  ~HostCollectives();
  HostCollectives(const HostCollectives&) = delete;
  HostCollectives& operator=(const HostCollectives&) = delete;

  // `memory` holds the data of `collective` (offset_bytes is not looked at) until it is finished.
  // Throws InternalError for a sequence number that was used already.
  void start(const protocol::Collective& collective, std::byte* memory);
  // Moves MPI on and returns what finished since the last call. Never blocks.
  std::vector<FinishedCollective> test();
  // Something was started and has not finished.
  bool is_busy() const;
  // Data move: test() again soon.
  bool is_moving() const;
  // Grows whenever something has gone on, be it only a part of a collective.
  int64_t event_count() const { return event_count_; }

  // For the orderly end after a failure: MPI's collectives cannot be cancelled, so each launcher starts those
  // that others have started and it has not, on scratch memory, until all are complete.
  struct Progress {
    int64_t started = 0;                       // sequence numbers below this have started here
    std::vector<protocol::Collective> recent;  // the last of them: all that another rank may not have started
  };
  Progress progress(protocol::Channel channel) const;
  void start_on_scratch(const protocol::Collective& collective);

 private:
  struct Running;
  struct Lane {  // of a channel
    Progress progress;
    std::list<Running> running;  // by sequence number
    int segment_count = 0;       // under way
  };
  Lane& lane(protocol::Channel channel) { return lanes_[static_cast<size_t>(channel)]; }
  void start_now(const protocol::Collective& collective, std::byte* memory, std::vector<std::byte> scratch);
  void start_segment(Running& running);
  void finish_segments(Lane& lane, Running& running);
  void test_lane(Lane& lane, std::vector<FinishedCollective>& finished);
  size_t bytes_of(const protocol::Collective& collective) const;

  Session& session_;
  const Cuts cuts_;
  std::array<Lane, protocol::channel_count> lanes_;
  int64_t event_count_ = 0;
  std::map<std::pair<protocol::Channel, int64_t>, std::pair<protocol::Collective, std::byte*>> early_;
};

}  // namespace yolodist::mpi
