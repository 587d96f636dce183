// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "worker/comm/communicator.h"

namespace yolodist::comm {

struct NcclSetup {
  int rank = 0;
  int world_size = 1;
  std::string unique_id;  // of NcclCommunicator::make_unique_id on one rank, the same on all
  int device_index = 0;   // CUDA ordinal; each rank has a card of its own
  // cudaStream_t on which the buffers are written; nullptr is CUDA's default stream. Not owned.
  void* compute_stream = nullptr;
  // For starting one collective, which at the first of a kind connects to the peers.
  std::chrono::milliseconds start_timeout{60000};
};

// Collectives from GPU to GPU with NCCL, on a stream of their own. A collective begins when the work that the
// compute stream held at the call is done, and is waited for on the host, so that whatever is launched after
// Work::wait sees the result. Buffers are memory of the device.
//
// Non-blocking: NCCL never waits inside a call, and every wait here polls it against a deadline. When a
// deadline passes or NCCL reports an error the communicator is aborted at once (in bounded time) and every
// further call throws PeerLost; make a new one with a new id on all ranks.
class NcclCommunicator : public Communicator {
 public:
  // For one rank to make and all to use, once. 128 bytes, any of them may be zero. Needs no GPU. Throws
  // DeviceUnavailable when NCCL cannot make one (it needs a network interface).
  static std::string make_unique_id();

  // Collective. Throws DeviceUnavailable when there is no driver or no such device, or NCCL refuses it (two
  // ranks on one card); PeerLost when the deadline passes; OutOfMemory when the device has no room for NCCL's
  // buffers.
  NcclCommunicator(const NcclSetup& setup, Deadline deadline);
  // Waits a few seconds at most for what is under way.
  ~NcclCommunicator() override;

  int rank() const override;
  int world_size() const override;
  // Device memory, zeroed, freed by the destructor. Throws OutOfMemory, not StorageError, when there is no
  // room.
  std::span<std::byte> allocate_shared(size_t bytes) override;
  std::unique_ptr<Work> all_reduce(void* data, size_t count, Dtype dtype, Reduction reduction) override;
  std::unique_ptr<Work> all_gather(const void* mine, size_t bytes, void* gathered) override;
  std::unique_ptr<Work> broadcast(void* data, size_t bytes, int root) override;
  int64_t all_reduce_count() const override { return all_reduce_count_; }

  // Ends what is under way on this rank, in a few seconds at most; later calls and waits throw PeerLost.
  void abort();

 private:
  class State;
  class Collective;
  std::shared_ptr<State> state_;  // shared with every Work
  int64_t all_reduce_count_ = 0;
};

}  // namespace yolodist::comm
