// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/comm/nccl_communicator.h"

#include <cuda_runtime_api.h>
#include <nccl.h>

#include <algorithm>
#include <cstring>
#include <future>
#include <thread>
#include <utility>

#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/text.h"

namespace yolodist::comm {
namespace {

// How long the end of a communicator may take before it is given up. Aborting normally takes well under a
// second.
constexpr std::chrono::seconds kEndTimeout{5};
// Between two looks at NCCL or an event: far below a collective's time, far above the cost of a look (about 1
// µs).
constexpr std::chrono::microseconds kPollInterval{50};

std::string one_line(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  return trimmed(text);
}

void check_cuda(cudaError_t result, std::string_view what) {
  if (result == cudaSuccess) {
    return;
  }
  static_cast<void>(cudaGetLastError());  // an error that is not sticky must not show up in an unrelated call
  if (result == cudaErrorMemoryAllocation) {
    throw OutOfMemory(cat("the device has no memory to ", what));
  }
  throw DeviceUnavailable(cat("cannot ", what, ": ", cudaGetErrorString(result)));
}

void select_device(int device_index) {
  int count = 0;
  const cudaError_t result = cudaGetDeviceCount(&count);
  const std::string hint = "Install or update the NVIDIA driver, or run with --device cpu.";
  if (result != cudaSuccess) {
    static_cast<void>(cudaGetLastError());
    throw DeviceUnavailable(cat("no usable CUDA device: ", cudaGetErrorString(result)), hint);
  }
  if (device_index < 0 || device_index >= count) {
    throw DeviceUnavailable(cat("no CUDA device ", device_index, ", this process sees ", count),
                            "Check CUDA_VISIBLE_DEVICES and --device.");
  }
  check_cuda(cudaSetDevice(device_index), cat("use CUDA device ", device_index));
}

ncclDataType_t to_nccl(Dtype dtype) {
  switch (dtype) {
    case Dtype::f32:
      return ncclFloat32;
    case Dtype::f64:
      return ncclFloat64;
    case Dtype::i64:
      return ncclInt64;
  }
  throw InternalError("unknown dtype");
}

ncclRedOp_t to_nccl(Reduction reduction) {
  switch (reduction) {
    case Reduction::sum:
      return ncclSum;
    case Reduction::max:
      return ncclMax;
    case Reduction::min:
      return ncclMin;
  }
  throw InternalError("unknown reduction");
}

}  // namespace

// What the communicator and the collectives under way share. One thread at a time.
class NcclCommunicator::State {
 public:
  State(const NcclSetup& setup, Deadline deadline)
      : setup_(setup), compute_(static_cast<cudaStream_t>(setup.compute_stream)) {
    check(setup.world_size > 0 && setup.rank >= 0 && setup.rank < setup.world_size,
          "the rank is in the world");
    check(setup.unique_id.size() == NCCL_UNIQUE_ID_BYTES, "the NCCL id has 128 bytes");
    select_device(setup.device_index);
    try {
      check_cuda(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "create a CUDA stream");
      check_cuda(cudaEventCreateWithFlags(&ready_, cudaEventDisableTiming), "create a CUDA event");
      ncclUniqueId id;
      std::memcpy(id.internal, setup.unique_id.data(), sizeof(id.internal));
      ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
      config.blocking = 0;
      settle(ncclCommInitRankConfig(&comm_, setup.world_size, id, setup.rank, &config), deadline,
             "connecting to the other ranks");
    } catch (const Error&) {
      release();
      throw;
    }
  }
  ~State() { release(); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  const NcclSetup& setup() const { return setup_; }

  std::byte* allocate(size_t bytes) {
    check(memory_ == nullptr, "allocate_shared is called once");
    bind();
    check_cuda(cudaMalloc(&memory_, std::max<size_t>(bytes, 1)),
               cat("hold the gradient buckets (", bytes, " bytes)"));
    check_cuda(cudaMemset(memory_, 0, bytes), "clear the gradient buckets");
    return static_cast<std::byte*>(memory_);
  }

  // Starts what `enqueue(communicator, stream)` starts, after the work that the compute stream holds now, and
  // records `done` behind it.
  template <typename Enqueue>
  void start(const Enqueue& enqueue, cudaEvent_t done, std::string_view what) {
    bind();
    check_cuda(cudaEventRecord(ready_, compute_), "record a CUDA event");
    check_cuda(cudaStreamWaitEvent(stream_, ready_, 0), "order two CUDA streams");
    // The kernel is on the stream only when NCCL has left the state "in progress".
    settle(enqueue(comm_, stream_), Deadline::after(setup_.start_timeout), what);
    check_cuda(cudaEventRecord(done, stream_), "record a CUDA event");
  }

  // Whether `done` has been reached. Throws PeerLost when NCCL reports an error.
  bool has_reached(cudaEvent_t done) {
    bind();
    const cudaError_t result = cudaEventQuery(done);
    if (result == cudaSuccess) {
      return true;
    }
    if (result != cudaErrorNotReady) {
      lose(cat("a collective failed on device ", setup_.device_index, ": ", cudaGetErrorString(result)));
    }
    static_cast<void>(cudaGetLastError());
    ncclResult_t state = ncclSuccess;
    const ncclResult_t asked = ncclCommGetAsyncError(comm_, &state);
    if (asked != ncclSuccess || (state != ncclSuccess && state != ncclInProgress)) {
      fail(asked != ncclSuccess ? asked : state, "a collective");
    }
    return false;
  }

  [[noreturn]] void lose(const std::string& why) {
    abort();
    throw PeerLost(cat("rank ", setup_.rank, ": ", why));
  }

  // NCCL may hang in its own abort (seen by others after running out of device memory), so it runs on a
  // thread that is left behind if need be, together with the CUDA objects, whose release would hang too.
  void abort() {
    is_broken_ = true;
    const ncclComm_t comm = std::exchange(comm_, nullptr);
    if (comm == nullptr) {
      return;
    }
    auto ended = std::make_shared<std::promise<void>>();
    std::future<void> future = ended->get_future();
    std::thread([comm, ended, device = setup_.device_index] {
      static_cast<void>(cudaSetDevice(device));
      static_cast<void>(ncclCommAbort(comm));
      ended->set_value();
    }).detach();
    if (future.wait_for(kEndTimeout) != std::future_status::ready) {
      is_stuck_ = true;
      log::warning(cat("NCCL did not abort within ", kEndTimeout.count(),
                       " s; its device memory stays taken until this process ends"));
    }
  }

 private:
  // CUDA's current device belongs to the thread, and calls may come from several, one after the other.
  void bind() {
    if (is_broken_) {
      throw PeerLost(cat("rank ", setup_.rank, ": the NCCL communicator was aborted before"));
    }
    check_cuda(cudaSetDevice(setup_.device_index), cat("use CUDA device ", setup_.device_index));
  }

  void settle(ncclResult_t result, Deadline deadline, std::string_view what) {
    while (result == ncclInProgress) {
      if (deadline.has_passed()) {
        lose(cat(what, ": no answer from the other ranks before the deadline"));
      }
      std::this_thread::sleep_for(kPollInterval);
      ncclResult_t state = ncclSuccess;
      const ncclResult_t asked = ncclCommGetAsyncError(comm_, &state);
      result = asked != ncclSuccess ? asked : state;
    }
    if (result != ncclSuccess) {
      fail(result, what);
    }
  }

  [[noreturn]] void fail(ncclResult_t result, std::string_view what) {
    const std::string detail = one_line(ncclGetLastError(comm_));
    const std::string why = cat(what, ": ", ncclGetErrorString(result), detail.empty() ? "" : " (", detail,
                                detail.empty() ? "" : ")");
    abort();
    if (detail.find("out of memory") != std::string::npos) {
      throw OutOfMemory(cat("rank ", setup_.rank, ": NCCL has no device memory for ", why));
    }
    switch (result) {
      case ncclInvalidArgument:
        throw InternalError(cat("rank ", setup_.rank, ": NCCL refuses ", why));
      case ncclInvalidUsage:
        throw DeviceUnavailable(cat("rank ", setup_.rank, ": NCCL refuses ", why),
                                "Each rank needs a card of its own.");
      case ncclUnhandledCudaError:
        throw DeviceUnavailable(cat("rank ", setup_.rank, ": CUDA failed in ", why));
      default:
        throw PeerLost(cat("rank ", setup_.rank, ": ", why));
    }
  }

  // Ends the communicator: flushed if it is healthy, else aborted. Never throws.
  void release() {
    if (comm_ != nullptr) {
      static_cast<void>(cudaSetDevice(setup_.device_index));
      ncclResult_t result = ncclCommFinalize(comm_);
      for (const Deadline deadline = Deadline::after(kEndTimeout);
           result == ncclInProgress && !deadline.has_passed();) {
        std::this_thread::sleep_for(kPollInterval);
        if (ncclCommGetAsyncError(comm_, &result) != ncclSuccess) {
          break;
        }
      }
      if (result == ncclSuccess) {
        static_cast<void>(ncclCommDestroy(std::exchange(comm_, nullptr)));
      } else {
        abort();
      }
    }
    if (is_stuck_) {
      return;
    }
    static_cast<void>(cudaFree(std::exchange(memory_, nullptr)));
    if (ready_ != nullptr) {
      static_cast<void>(cudaEventDestroy(std::exchange(ready_, nullptr)));
    }
    if (stream_ != nullptr) {
      static_cast<void>(cudaStreamDestroy(std::exchange(stream_, nullptr)));
    }
  }

  const NcclSetup setup_;
  const cudaStream_t compute_;
  cudaStream_t stream_ = nullptr;
  cudaEvent_t ready_ = nullptr;
  ncclComm_t comm_ = nullptr;
  void* memory_ = nullptr;
  bool is_broken_ = false;
  bool is_stuck_ = false;
};

class NcclCommunicator::Collective : public Work {
 public:
  template <typename Enqueue>
  Collective(std::shared_ptr<State> state, std::string_view what, const Enqueue& enqueue)
      : state_(std::move(state)), what_(what) {
    check_cuda(cudaSetDevice(state_->setup().device_index), "use the CUDA device");
    check_cuda(cudaEventCreateWithFlags(&done_, cudaEventDisableTiming), "create a CUDA event");
    try {
      state_->start(enqueue, done_, what);
    } catch (const Error&) {
      static_cast<void>(cudaEventDestroy(done_));
      throw;
    }
  }
  ~Collective() override { static_cast<void>(cudaEventDestroy(done_)); }
  Collective(const Collective&) = delete;
  Collective& operator=(const Collective&) = delete;

  bool is_done() override {
    is_done_ = is_done_ || state_->has_reached(done_);
    return is_done_;
  }

  void wait(Deadline deadline) override {
    while (!is_done()) {
      if (deadline.has_passed()) {
        state_->lose(cat(what_, ": not done before the deadline"));
      }
      std::this_thread::sleep_for(kPollInterval);
    }
  }

 private:
  std::shared_ptr<State> state_;
  std::string_view what_;  // a literal
  cudaEvent_t done_ = nullptr;
  bool is_done_ = false;
};

std::string NcclCommunicator::make_unique_id() {
  ncclUniqueId id;
  const ncclResult_t result = ncclGetUniqueId(&id);
  if (result != ncclSuccess) {
    throw DeviceUnavailable(cat("NCCL cannot make an id: ", ncclGetErrorString(result), " (",
                                one_line(ncclGetLastError(nullptr)), ")"),
                            "It needs a network interface; NCCL_SOCKET_IFNAME names one.");
  }
  return std::string(id.internal, sizeof(id.internal));
}

NcclCommunicator::NcclCommunicator(const NcclSetup& setup, Deadline deadline)
    : state_(std::make_shared<State>(setup, deadline)) {}

NcclCommunicator::~NcclCommunicator() = default;

int NcclCommunicator::rank() const {
  return state_->setup().rank;
}

int NcclCommunicator::world_size() const {
  return state_->setup().world_size;
}

std::span<std::byte> NcclCommunicator::allocate_shared(size_t bytes) {
  return {state_->allocate(bytes), bytes};
}

std::unique_ptr<Work> NcclCommunicator::all_reduce(void* data, size_t count, Dtype dtype,
                                                   Reduction reduction) {
  auto work =
      std::make_unique<Collective>(state_, "an all-reduce", [&](ncclComm_t comm, cudaStream_t stream) {
        return ncclAllReduce(data, data, count, to_nccl(dtype), to_nccl(reduction), comm, stream);
      });
  ++all_reduce_count_;
  return work;
}

std::unique_ptr<Work> NcclCommunicator::all_gather(const void* mine, size_t bytes, void* gathered) {
  return std::make_unique<Collective>(state_, "an all-gather", [&](ncclComm_t comm, cudaStream_t stream) {
    return ncclAllGather(mine, gathered, bytes, ncclInt8, comm, stream);
  });
}

std::unique_ptr<Work> NcclCommunicator::broadcast(void* data, size_t bytes, int root) {
  return std::make_unique<Collective>(state_, "a broadcast", [&](ncclComm_t comm, cudaStream_t stream) {
    return ncclBroadcast(data, data, bytes, ncclInt8, root, comm, stream);
  });
}

void NcclCommunicator::abort() {
  state_->abort();
}

}  // namespace yolodist::comm
