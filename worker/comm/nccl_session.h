// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime_api.h>
#include <nccl.h>

#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>

#include "common/base/deadline.h"
#include "worker/comm/collective_trace.h"
#include "worker/comm/nccl_communicator.h"

// What is behind NcclCommunicator and the collectives under way. Only worker/comm includes it.
namespace yolodist::comm {

// Throws DeviceUnavailable, or OutOfMemory, saying that CUDA cannot `action`.
void check_cuda(cudaError_t result, std::string_view action);

// NCCL's texts on one line.
std::string nccl_text(const char* text);

class NcclSession {
 public:
  using Enqueue = std::function<ncclResult_t(ncclComm_t, cudaStream_t)>;

  // A collective on its way.
  struct Started {
    int64_t key = 0;     // in the trace
    int connection = 0;  // how many there were before
    std::string name;    // "#17 all_reduce of …"
  };

  NcclSession(const NcclSetup& setup, Deadline deadline);
  ~NcclSession();
  NcclSession(const NcclSession&) = delete;
  NcclSession& operator=(const NcclSession&) = delete;

  const NcclSetup& setup() const { return setup_; }
  std::byte* allocate(size_t bytes);

  // Starts what `enqueue` starts, after the work that the compute stream holds now, and records `done` behind
  // it.
  Started start(CollectiveRecord record, const Enqueue& enqueue, cudaEvent_t done);
  // Whether `done` has been reached. Throws when NCCL or CUDA reports an error.
  bool has_reached(const Started& started, cudaEvent_t done);
  // What the compute stream gets from now on waits for `done`.
  void hold_compute_stream(cudaEvent_t done);
  // Gives up waiting: aborts and throws.
  [[noreturn]] void give_up(const Started& started);

  void abort();
  void reconnect(const std::string& unique_id, Deadline deadline);
  // NCCL kept the device in an abort: CUDA's calls may hang now, too.
  bool is_stuck() const { return is_stuck_; }

 private:
  void connect(const std::string& unique_id, Deadline deadline);
  void bind();
  // Polls until NCCL is through with a call that answered `result`. Throws; `started` is null in connect().
  void settle(ncclResult_t result, Deadline deadline, std::string_view what, const Started* started);
  ncclResult_t ask_state();
  [[noreturn]] void fail(ncclResult_t result, std::string_view what, const Started* started);
  [[noreturn]] void fail_with_trace(const std::string& why, const std::string& hint, const Started* started);
  void end(ncclComm_t comm, bool is_healthy);
  void release();

  const NcclSetup setup_;
  const cudaStream_t compute_;
  cudaStream_t stream_ = nullptr;
  cudaEvent_t ready_ = nullptr;
  void* memory_ = nullptr;
  CollectiveTrace trace_;
  int connection_ = -1;

  // abort() comes from any thread, and nobody may be inside NCCL with this communicator then.
  std::mutex mutex_;
  ncclComm_t comm_ = nullptr;  // null = aborted
  std::atomic<bool> is_stuck_{false};
};

}  // namespace yolodist::comm
