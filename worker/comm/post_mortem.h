// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

#include "worker/comm/collective_trace.h"
#include "worker/comm/communicator.h"

namespace yolodist::comm {

// After a collective between devices has failed: how ranks tell each other what they called, by way of the
// host. Takes the host communicator's shared memory, which is free where gradients lie on devices; so what is
// under way in host memory at the time, in whatever order, is not disturbed.
class PostMortem {
 public:
  // A trace takes less; if not, its oldest records are left out.
  static constexpr size_t bytes_a_rank = 8192;

  // `host` must outlive this object, and nobody else may call its allocate_shared. Throws StorageError.
  explicit PostMortem(Communicator& host);

  // The traces of all ranks, in rank order. Collective, but for ranks that never come: then throws PeerLost
  // at the deadline, and at once from then on.
  std::vector<CollectiveTrace> gather(const CollectiveTrace& mine, Deadline deadline);

 private:
  Communicator& host_;
  std::span<std::byte> memory_;
  bool is_broken_ = false;
};

}  // namespace yolodist::comm
