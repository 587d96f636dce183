// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "common/base/deadline.h"

namespace yolodist::comm {

enum class Dtype { f32, f64, i64 };
enum class Reduction { sum, max, min };
size_t size_of(Dtype dtype);

// A collective under way. Destroying it does not cancel it.
class Work {
 public:
  virtual ~Work() = default;
  virtual bool is_done() = 0;
  // Returns when the result is in the buffer. Throws PeerLost when the deadline passes or a peer is gone.
  virtual void wait(Deadline deadline) = 0;
};

// The collectives of one set of ranks. Every call but rank() and world_size() is collective: all ranks call
// it in the same order with the same sizes. Buffers are host memory (NCCL: device memory) and must stay alive
// and untouched until the Work is done. Calls come from one thread at a time.
class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int world_size() const = 0;

  // Memory in which all_reduce needs no copy: for the gradient buckets. Alignment 64. May be called once.
  // Throws StorageError when there is no room for it.
  virtual std::span<std::byte> allocate_shared(size_t bytes) = 0;

  // In place over `count` elements.
  virtual std::unique_ptr<Work> all_reduce(void* data, size_t count, Dtype dtype, Reduction reduction) = 0;
  // `bytes` from every rank, in rank order, into `gathered` (world_size * bytes).
  virtual std::unique_ptr<Work> all_gather(const void* mine, size_t bytes, void* gathered) = 0;
  virtual std::unique_ptr<Work> broadcast(void* data, size_t bytes, int root) = 0;
  // Piece r of `data` (`count` elements each, in rank order), reduced over all ranks, into `mine` of rank r,
  // which may be the own piece itself. `data` is not changed otherwise.
  virtual std::unique_ptr<Work> reduce_scatter(const void* data, void* mine, size_t count, Dtype dtype,
                                               Reduction reduction) = 0;

  // What the next collective is for ("bucket 3"), in reports of failures. Nobody else looks at it.
  virtual void name_next(std::string) {}

  // How many all_reduce calls were started since construction, for tests and metrics.
  virtual int64_t all_reduce_count() const = 0;
};

// A byte string of any length from every rank, in rank order (two all-gathers: lengths, then padded bytes).
std::vector<std::string> all_gather_strings(Communicator& communicator, const std::string& mine,
                                            Deadline deadline);

// Small host-side reductions with the wait included.
void all_reduce_sum(Communicator& communicator, std::span<int64_t> values, Deadline deadline);
void all_reduce_sum(Communicator& communicator, std::span<double> values, Deadline deadline);
void all_reduce_max(Communicator& communicator, std::span<int64_t> values, Deadline deadline);

}  // namespace yolodist::comm
