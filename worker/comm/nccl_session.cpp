// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/comm/nccl_session.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <future>
#include <memory>
#include <thread>
#include <utility>

#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/text.h"

namespace yolodist::comm {
namespace {

// Between two looks at NCCL or an event: far below a collective's time, far above the cost of a look (about 1
// µs).
constexpr std::chrono::microseconds poll_interval{50};

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

// Destructors and exit handlers may hang as the abort did, so nothing of this process is waited for.
void end_process_after(std::chrono::milliseconds limit, const std::string& line) {
  std::thread([limit, line] {
    std::this_thread::sleep_for(limit);
    log::error(line);
    ::_exit(to_int(ExitCode::peer_lost));
  }).detach();
}

}  // namespace

void check_cuda(cudaError_t result, std::string_view action) {
  if (result == cudaSuccess) {
    return;
  }
  static_cast<void>(cudaGetLastError());  // an error that is not sticky must not show up in an unrelated call
  if (result == cudaErrorMemoryAllocation) {
    throw OutOfMemory(cat("the device has no memory to ", action));
  }
  throw DeviceUnavailable(cat("cannot ", action, ": ", cudaGetErrorString(result)));
}

std::string nccl_text(const char* text) {
  std::string line = text == nullptr ? "" : text;
  std::replace(line.begin(), line.end(), '\n', ' ');
  return trimmed(line);
}

NcclSession::NcclSession(const NcclSetup& setup, Deadline deadline)
    : setup_(setup), compute_(static_cast<cudaStream_t>(setup.compute_stream)) {
  check(setup.world_size > 0 && setup.rank >= 0 && setup.rank < setup.world_size, "the rank is in the world");
  check(setup.unique_id.size() == NCCL_UNIQUE_ID_BYTES, "the NCCL id has 128 bytes");
  select_device(setup.device_index);
  try {
    check_cuda(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "create a CUDA stream");
    check_cuda(cudaEventCreateWithFlags(&ready_, cudaEventDisableTiming), "create a CUDA event");
    connect(setup.unique_id, deadline);
  } catch (const Error&) {
    release();
    throw;
  }
}

NcclSession::~NcclSession() {
  release();
}

void NcclSession::connect(const std::string& unique_id, Deadline deadline) {
  ncclUniqueId id;
  std::memcpy(id.internal, unique_id.data(), sizeof(id.internal));
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  ncclResult_t result = ncclSuccess;
  {
    const std::lock_guard lock(mutex_);
    result = ncclCommInitRankConfig(&comm_, setup_.world_size, id, setup_.rank, &config);
  }
  settle(result, deadline, "connecting to the other ranks", nullptr);
  trace_.clear();
  ++connection_;
}

void NcclSession::reconnect(const std::string& unique_id, Deadline deadline) {
  check(unique_id.size() == NCCL_UNIQUE_ID_BYTES, "the NCCL id has 128 bytes");
  abort();
  if (is_stuck_) {
    throw PeerLost(cat("rank ", setup_.rank, ": NCCL did not abort before, so it cannot connect anew"));
  }
  check_cuda(cudaSetDevice(setup_.device_index), cat("use CUDA device ", setup_.device_index));
  connect(unique_id, deadline);
}

std::byte* NcclSession::allocate(size_t bytes) {
  check(memory_ == nullptr, "allocate_shared is called once");
  bind();
  check_cuda(cudaMalloc(&memory_, bytes), cat("hold the gradient buckets (", bytes, " bytes)"));
  check_cuda(cudaMemsetAsync(memory_, 0, bytes, compute_), "clear the gradient buckets");
  return static_cast<std::byte*>(memory_);
}

NcclSession::Started NcclSession::start(CollectiveRecord record, const Enqueue& enqueue, cudaEvent_t done) {
  bind();
  Started started;
  started.connection = connection_;
  started.key = trace_.add(std::move(record));
  started.name = to_string(trace_.records().back());
  check_cuda(cudaEventRecord(ready_, compute_), "record a CUDA event");
  check_cuda(cudaStreamWaitEvent(stream_, ready_, 0), "order two CUDA streams");
  ncclResult_t result = ncclSuccess;
  {
    const std::lock_guard lock(mutex_);
    if (comm_ == nullptr) {
      throw PeerLost(cat("rank ", setup_.rank, ": the NCCL communicator was aborted meanwhile"));
    }
    result = enqueue(comm_, stream_);
  }
  // The kernel is on the stream only when NCCL has left the state "in progress".
  settle(result, Deadline::after(setup_.start_timeout), cat("starting ", started.name), &started);
  check_cuda(cudaEventRecord(done, stream_), "record a CUDA event");
  trace_.settle(started.key, CollectiveRecord::State::running);
  return started;
}

bool NcclSession::has_reached(const Started& started, cudaEvent_t done) {
  bind();
  if (started.connection != connection_) {  // its event may have been reached by the abort
    throw PeerLost(cat("rank ", setup_.rank, ": ", started.name, " was aborted before"));
  }
  const cudaError_t result = cudaEventQuery(done);
  if (result == cudaErrorNotReady) {
    static_cast<void>(cudaGetLastError());
    const ncclResult_t state = ask_state();
    if (state != ncclSuccess && state != ncclInProgress) {
      fail(state, started.name, &started);
    }
    return false;
  }
  bind();  // by an abort from another thread the event is reached, too
  if (result != cudaSuccess) {
    trace_.settle(started.key, CollectiveRecord::State::failed);
    abort();
    throw DeviceUnavailable(cat("rank ", setup_.rank, ": ", started.name, " failed on CUDA device ",
                                setup_.device_index, ": ", cudaGetErrorString(result)));
  }
  trace_.settle(started.key, CollectiveRecord::State::done);
  return true;
}

void NcclSession::hold_compute_stream(cudaEvent_t done) {
  bind();
  check_cuda(cudaStreamWaitEvent(compute_, done, 0), "order two CUDA streams");
}

void NcclSession::give_up(const Started& started) {
  abort();
  fail_with_trace(cat(started.name, ": not done before the deadline"), "", &started);
}

// CUDA's current device belongs to the thread, and calls may come from several, one after the other.
void NcclSession::bind() {
  {
    const std::lock_guard lock(mutex_);
    if (comm_ == nullptr) {
      throw PeerLost(cat("rank ", setup_.rank, ": the NCCL communicator was aborted before"));
    }
  }
  check_cuda(cudaSetDevice(setup_.device_index), cat("use CUDA device ", setup_.device_index));
}

ncclResult_t NcclSession::ask_state() {
  const std::lock_guard lock(mutex_);
  if (comm_ == nullptr) {
    throw PeerLost(cat("rank ", setup_.rank, ": the NCCL communicator was aborted meanwhile"));
  }
  ncclResult_t state = ncclSuccess;
  const ncclResult_t asked = ncclCommGetAsyncError(comm_, &state);
  return asked != ncclSuccess ? asked : state;
}

void NcclSession::settle(ncclResult_t result, Deadline deadline, std::string_view what,
                         const Started* started) {
  while (result == ncclInProgress) {
    if (deadline.has_passed()) {
      abort();
      fail_with_trace(cat(what, ": no answer from the other ranks before the deadline"), "", started);
    }
    std::this_thread::sleep_for(poll_interval);
    result = ask_state();
  }
  if (result != ncclSuccess) {
    fail(result, what, started);
  }
}

void NcclSession::fail(ncclResult_t result, std::string_view what, const Started* started) {
  std::string detail;
  {
    const std::lock_guard lock(mutex_);
    detail = nccl_text(ncclGetLastError(comm_));  // also of a communicator that never was
  }
  const std::string why =
      cat(what, ": ", ncclGetErrorString(result), detail.empty() ? "" : cat(" (", detail, ")"));
  const std::string rank = cat("rank ", setup_.rank, ": ");
  if (started != nullptr) {
    trace_.settle(started->key, CollectiveRecord::State::failed);
  }
  abort();
  if (detail.find("out of memory") != std::string::npos) {
    throw OutOfMemory(cat(rank, "NCCL has no device memory for ", why));
  }
  switch (result) {
    case ncclInvalidArgument:
      throw InternalError(cat(rank, "NCCL refuses ", why));
    case ncclInvalidUsage:
      if (started != nullptr) {
        throw InternalError(cat(rank, "NCCL refuses ", why));
      }
      throw DeviceUnavailable(cat(rank, "NCCL refuses ", why), "Each rank needs a card of its own.");
    case ncclUnhandledCudaError:
      throw DeviceUnavailable(cat(rank, "CUDA failed in ", why));
    case ncclSystemError:
      fail_with_trace(why,
                      "Look at the network interface (--net-if names one, or NCCL_SOCKET_IFNAME), and at "
                      "/dev/shm, where NCCL "
                      "needs room; NCCL_DEBUG=WARN says more.",
                      started);
    default:
      fail_with_trace(why, "", started);
  }
}

void NcclSession::fail_with_trace(const std::string& why, const std::string& hint, const Started* started) {
  if (started != nullptr) {
    trace_.settle(started->key, CollectiveRecord::State::failed);
  }
  nlohmann::json collectives = {{"rank", setup_.rank}, {"last", to_json(trace_)}};
  std::string verdict;
  // Who never got connected has nothing to compare.
  if (started != nullptr && setup_.post_mortem != nullptr) {
    try {
      // A connection that does not end takes the process with it soon: the report has to be out before.
      const std::chrono::milliseconds limit =
          is_stuck_ ? std::min(setup_.post_mortem_timeout, setup_.exit_timeout / 2)
                    : setup_.post_mortem_timeout;
      const std::vector<CollectiveTrace> traces = setup_.post_mortem->gather(trace_, Deadline::after(limit));
      verdict = compare(traces);
      for (const CollectiveTrace& trace : traces) {
        collectives["ranks"].push_back(to_json(trace));
      }
    } catch (const Error&) {
      verdict = "not all ranks say where they are";
    }
    collectives["verdict"] = verdict;
  }
  throw CollectiveFailure(cat("rank ", setup_.rank, ": ", why, verdict.empty() ? "" : "; ", verdict), hint,
                          std::move(collectives));
}

void NcclSession::abort() {
  ncclComm_t comm = nullptr;
  {
    const std::lock_guard lock(mutex_);
    comm = std::exchange(comm_, nullptr);
  }
  if (comm != nullptr) {
    end(comm, false);
  }
}

// NCCL may hang in its own abort (seen by others after running out of device memory, and while peers on the
// same host have not aborted), so it runs on a thread that is left behind if need be, together with the CUDA
// objects, whose release would hang too.
void NcclSession::end(ncclComm_t comm, bool is_healthy) {
  auto ended = std::make_shared<std::promise<void>>();
  std::future<void> future = ended->get_future();
  std::thread([comm, is_healthy, ended, device = setup_.device_index] {
    static_cast<void>(cudaSetDevice(device));
    static_cast<void>(is_healthy ? ncclCommDestroy(comm) : ncclCommAbort(comm));
    ended->set_value();
  }).detach();
  if (future.wait_for(setup_.end_timeout) == std::future_status::ready || is_stuck_.exchange(true)) {
    return;
  }
  const std::string what =
      cat("NCCL did not ", is_healthy ? "end" : "abort", " within ", setup_.end_timeout.count(), " ms");
  log::warning(cat("rank ", setup_.rank, ": ", what, "; this process ends in ", setup_.exit_timeout.count(),
                   " ms at the latest"));
  end_process_after(setup_.exit_timeout,
                    cat("rank ", setup_.rank, ": ", what, " and holds the device: ending this process"));
}

// Ends the communicator: flushed if it is healthy, else aborted. Never throws.
void NcclSession::release() {
  ncclComm_t comm = nullptr;
  {
    const std::lock_guard lock(mutex_);
    comm = std::exchange(comm_, nullptr);
  }
  if (comm != nullptr) {
    static_cast<void>(cudaSetDevice(setup_.device_index));
    ncclResult_t result = ncclCommFinalize(comm);
    for (const Deadline deadline = Deadline::after(setup_.end_timeout);
         result == ncclInProgress && !deadline.has_passed();) {
      std::this_thread::sleep_for(poll_interval);
      if (ncclCommGetAsyncError(comm, &result) != ncclSuccess) {
        break;
      }
    }
    end(comm, result == ncclSuccess);
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

}  // namespace yolodist::comm
