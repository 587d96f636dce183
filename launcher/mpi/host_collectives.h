// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

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
class HostCollectives {
 public:
  // MPI counts are int: a reduction over more elements than this is cut into several requests.
  static constexpr int64_t largest_count = int64_t{1} << 30;

  explicit HostCollectives(Session& session, int64_t count_limit = largest_count);
  ~HostCollectives();
  HostCollectives(const HostCollectives&) = delete;
  HostCollectives& operator=(const HostCollectives&) = delete;

  // `memory` holds the data of `collective` (offset_bytes is not looked at) until it is finished.
  // Throws InternalError for a sequence number that was used already.
  void start(const protocol::Collective& collective, std::byte* memory);
  // Moves MPI on and returns what finished since the last call. Never blocks.
  std::vector<FinishedCollective> test();
  // Something was started and has not finished.
  bool is_busy() const { return !running_.empty(); }

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
  void start_now(const protocol::Collective& collective, std::byte* memory, std::vector<std::byte> scratch);
  size_t bytes_of(const protocol::Collective& collective) const;

  Session& session_;
  const int64_t count_limit_;
  Progress progress_[protocol::channel_count];
  std::map<std::pair<protocol::Channel, int64_t>, std::pair<protocol::Collective, std::byte*>> early_;
  std::list<Running> running_;
};

}  // namespace yolodist::mpi
