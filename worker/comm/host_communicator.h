// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "worker/comm/communicator.h"
#include "worker/link/link.h"

namespace yolodist::comm {

// Collectives through the launcher, which runs them with MPI on the shared memory of both.
// all_reduce and broadcast on memory of allocate_shared run in place, on a channel of their own
// ("gradients"). Everything else is copied through a staging area in chunks (channel "small"), several of
// them under way at a time; the link's thread moves them on, so that they proceed while the caller computes.
// `link` must outlive this object and every Work.
class HostCommunicator : public Communicator {
 public:
  // Makes the staging area; throws StorageError when there is no room for it.
  HostCommunicator(link::Link& link, int rank, int world_size);
  ~HostCommunicator() override;

  int rank() const override { return rank_; }
  int world_size() const override { return world_size_; }
  std::span<std::byte> allocate_shared(size_t bytes) override;
  std::unique_ptr<Work> all_reduce(void* data, size_t count, Dtype dtype, Reduction reduction) override;
  std::unique_ptr<Work> all_gather(const void* mine, size_t bytes, void* gathered) override;
  std::unique_ptr<Work> broadcast(void* data, size_t bytes, int root) override;
  // An all-reduce of everything, of which each rank keeps its piece.
  std::unique_ptr<Work> reduce_scatter(const void* data, void* mine, size_t count, Dtype dtype,
                                       Reduction reduction) override;
  int64_t all_reduce_count() const override { return all_reduce_count_; }

 private:
  class Staging;
  bool is_shared(const void* data, size_t bytes) const;
  int64_t shared_offset(const void* data) const;

  link::Link& link_;
  const int rank_;
  const int world_size_;
  std::shared_ptr<Staging> staging_;
  link::SharedExtent shared_;
  int64_t all_reduce_count_ = 0;
};

}  // namespace yolodist::comm
