// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <memory>
#include <span>
#include <string>

#include "worker/comm/communicator.h"
#include "worker/comm/post_mortem.h"

namespace yolodist::comm {

class NcclSession;

struct NcclSetup {
  int rank = 0;
  int world_size = 1;
  std::string unique_id;  // of NcclCommunicator::make_unique_id on one rank, the same on all
  int device_index = 0;   // CUDA ordinal; each rank has a card of its own
  // cudaStream_t on which the buffers are written; nullptr is CUDA's default stream. Not owned.
  void* compute_stream = nullptr;
  // For starting one collective, which at the first of a kind connects to the peers.
  std::chrono::milliseconds start_timeout{60000};
  // How long NCCL may take to abort, or to end. Normally it takes well under a second.
  std::chrono::milliseconds end_timeout{5000};
  // When that has passed in vain, this process still has so long to report; then it is ended with peer_lost.
  std::chrono::milliseconds exit_timeout{10000};
  // Asked where the other ranks are when a collective has failed; they must have one, too. May be null.
  std::shared_ptr<PostMortem> post_mortem;
  std::chrono::milliseconds post_mortem_timeout{20000};
};

// Collectives from GPU to GPU with NCCL, on a stream of their own. A collective begins when the work that the
// compute stream held at the call is done. Work::wait makes the compute stream wait for it, and then the
// host. Buffers are memory of the device.
//
// Non-blocking: NCCL never waits inside a call, and every wait here polls it against a deadline. When a
// deadline passes or NCCL reports an error the communicator is aborted at once, in bounded time: where NCCL
// does not let go of the device, the process is ended soon after (end_timeout, exit_timeout). What is thrown
// then, if the peers are to blame, is a CollectiveFailure (a PeerLost), which tells the last collectives.
// Every further call and wait throws PeerLost, until all ranks reconnect.
class NcclCommunicator : public Communicator {
 public:
  // For one rank to make and all to use, once. 128 bytes, any of them may be zero. Needs no GPU. Throws
  // DeviceUnavailable when NCCL cannot make one (it needs a network interface).
  static std::string make_unique_id();

  // Collective. Throws DeviceUnavailable when there is no driver or no such device, or NCCL refuses it (two
  // ranks on one card); PeerLost when the deadline passes; OutOfMemory when the device has no room for NCCL's
  // buffers.
  NcclCommunicator(const NcclSetup& setup, Deadline deadline);
  // Waits for what is under way, end_timeout at most.
  ~NcclCommunicator() override;

  int rank() const override;
  int world_size() const override;
  // Device memory, zeroed, freed by the destructor. Throws OutOfMemory, not StorageError, when there is no
  // room.
  std::span<std::byte> allocate_shared(size_t bytes) override;
  std::unique_ptr<Work> all_reduce(void* data, size_t count, Dtype dtype, Reduction reduction) override;
  std::unique_ptr<Work> all_gather(const void* mine, size_t bytes, void* gathered) override;
  std::unique_ptr<Work> broadcast(void* data, size_t bytes, int root) override;
  std::unique_ptr<Work> reduce_scatter(const void* data, void* mine, size_t count, Dtype dtype,
                                       Reduction reduction) override;
  void name_next(std::string name) override { next_name_ = std::move(name); }
  int64_t all_reduce_count() const override { return all_reduce_count_; }

  // Sends and receives under way together, in any order among themselves. Each `bytes` > 0 sent to a peer
  // needs one received there, in the order of the calls; ranks that take no part do not call it.
  struct Transfer {
    void* data = nullptr;
    size_t bytes = 0;
    int peer = 0;
  };
  std::unique_ptr<Work> exchange(std::span<const Transfer> sends, std::span<const Transfer> receives);

  // Ends what is under way on this rank, in bounded time. From any thread.
  void abort();

  // After an abort, on all ranks, with a new id. What allocate_shared gave stays. Throws as the constructor
  // does; then another reconnect may follow, unless NCCL did not abort.
  void reconnect(const std::string& unique_id, Deadline deadline);

 private:
  template <typename Enqueue>
  std::unique_ptr<Work> start(CollectiveKind kind, size_t bytes, std::string detail, Enqueue enqueue);

  std::shared_ptr<NcclSession> session_;  // shared with every Work
  std::string next_name_;
  int64_t all_reduce_count_ = 0;
};

}  // namespace yolodist::comm
