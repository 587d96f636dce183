// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/comm/nccl_communicator.h"

#include <string_view>
#include <thread>
#include <utility>

#include "common/base/error.h"
#include "common/base/text.h"
#include "worker/comm/nccl_session.h"

namespace yolodist::comm {
namespace {

// As in nccl_session.cpp.
constexpr std::chrono::microseconds poll_interval{50};

struct NcclDtype {
  ncclDataType_t type;
  std::string_view name;
};

NcclDtype to_nccl(Dtype dtype) {
  switch (dtype) {
    case Dtype::f32:
      return {ncclFloat32, "f32"};
    case Dtype::f64:
      return {ncclFloat64, "f64"};
    case Dtype::i64:
      return {ncclInt64, "i64"};
  }
  throw InternalError("unknown dtype");
}

struct NcclReduction {
  ncclRedOp_t operation;
  std::string_view name;
};

NcclReduction to_nccl(Reduction reduction) {
  switch (reduction) {
    case Reduction::sum:
      return {ncclSum, "sum"};
    case Reduction::max:
      return {ncclMax, "max"};
    case Reduction::min:
      return {ncclMin, "min"};
  }
  throw InternalError("unknown reduction");
}

class NcclWork : public Work {
 public:
  NcclWork(std::shared_ptr<NcclSession> session, CollectiveRecord record, const NcclSession::Enqueue& enqueue)
      : session_(std::move(session)) {
    check_cuda(cudaSetDevice(session_->setup().device_index), "use the CUDA device");
    check_cuda(cudaEventCreateWithFlags(&done_, cudaEventDisableTiming), "create a CUDA event");
    try {
      started_ = session_->start(std::move(record), enqueue, done_);
    } catch (const Error&) {
      release();
      throw;
    }
  }
  ~NcclWork() override { release(); }
  NcclWork(const NcclWork&) = delete;
  NcclWork& operator=(const NcclWork&) = delete;

  bool is_done() override {
    is_done_ = is_done_ || session_->has_reached(started_, done_);
    return is_done_;
  }

  void wait(Deadline deadline) override {
    if (is_done()) {
      return;
    }
    session_->hold_compute_stream(done_);
    while (!is_done()) {
      if (deadline.has_passed()) {
        session_->give_up(started_);
      }
      std::this_thread::sleep_for(poll_interval);
    }
  }

 private:
  void release() {
    if (!session_->is_stuck()) {
      static_cast<void>(cudaEventDestroy(done_));
    }
  }

  std::shared_ptr<NcclSession> session_;
  NcclSession::Started started_;
  cudaEvent_t done_ = nullptr;
  bool is_done_ = false;
};

// Nothing to do.
class NoWork : public Work {
 public:
  bool is_done() override { return true; }
  void wait(Deadline) override {}
};

// The first refusal of several calls, else the last answer.
ncclResult_t first_refusal(ncclResult_t before, ncclResult_t now) {
  return before == ncclSuccess || before == ncclInProgress ? now : before;
}

// Between its ends, calls of NCCL are collected. The end starts them all, or none if one was refused.
template <typename Calls>
ncclResult_t in_a_group(const Calls& calls) {
  const ncclResult_t begun = ncclGroupStart();
  if (begun != ncclSuccess) {
    return begun;
  }
  const ncclResult_t called = calls();
  const ncclResult_t ended = ncclGroupEnd();
  return first_refusal(called, ended);
}

}  // namespace

std::string NcclCommunicator::make_unique_id() {
  ncclUniqueId id;
  const ncclResult_t result = ncclGetUniqueId(&id);
  if (result != ncclSuccess) {
    throw DeviceUnavailable(cat("NCCL cannot make an id: ", ncclGetErrorString(result), " (",
                                nccl_text(ncclGetLastError(nullptr)), ")"),
                            "It needs a network interface; --net-if names one, or NCCL_SOCKET_IFNAME.");
  }
  return std::string(id.internal, sizeof(id.internal));
}

NcclCommunicator::NcclCommunicator(const NcclSetup& setup, Deadline deadline)
    : session_(std::make_shared<NcclSession>(setup, deadline)) {}

NcclCommunicator::~NcclCommunicator() = default;

int NcclCommunicator::rank() const {
  return session_->setup().rank;
}

int NcclCommunicator::world_size() const {
  return session_->setup().world_size;
}

std::span<std::byte> NcclCommunicator::allocate_shared(size_t bytes) {
  if (bytes == 0) {
    return {};
  }
  return {session_->allocate(bytes), bytes};
}

template <typename Enqueue>
std::unique_ptr<Work> NcclCommunicator::start(CollectiveKind kind, size_t bytes, std::string detail,
                                              Enqueue enqueue) {
  CollectiveRecord record;
  record.kind = kind;
  record.bytes = static_cast<int64_t>(bytes);
  record.detail = std::move(detail);
  record.tag = std::exchange(next_name_, "");
  return std::make_unique<NcclWork>(session_, std::move(record), enqueue);
}

std::unique_ptr<Work> NcclCommunicator::all_reduce(void* data, size_t count, Dtype dtype,
                                                   Reduction reduction) {
  const NcclDtype type = to_nccl(dtype);
  const NcclReduction op = to_nccl(reduction);
  auto work = start(CollectiveKind::all_reduce, count * size_of(dtype), cat(type.name, " ", op.name),
                    [&](ncclComm_t comm, cudaStream_t stream) {
                      return ncclAllReduce(data, data, count, type.type, op.operation, comm, stream);
                    });
  ++all_reduce_count_;
  return work;
}

std::unique_ptr<Work> NcclCommunicator::all_gather(const void* mine, size_t bytes, void* gathered) {
  return start(CollectiveKind::all_gather, bytes * static_cast<size_t>(world_size()), "",
               [&](ncclComm_t comm, cudaStream_t stream) {
                 return ncclAllGather(mine, gathered, bytes, ncclInt8, comm, stream);
               });
}

std::unique_ptr<Work> NcclCommunicator::broadcast(void* data, size_t bytes, int root) {
  check(root >= 0 && root < world_size(), "the root is a rank");
  return start(CollectiveKind::broadcast, bytes, cat("from rank ", root),
               [&](ncclComm_t comm, cudaStream_t stream) {
                 return ncclBroadcast(data, data, bytes, ncclInt8, root, comm, stream);
               });
}

std::unique_ptr<Work> NcclCommunicator::reduce_scatter(const void* data, void* mine, size_t count,
                                                       Dtype dtype, Reduction reduction) {
  const NcclDtype type = to_nccl(dtype);
  const NcclReduction op = to_nccl(reduction);
  return start(CollectiveKind::reduce_scatter, count * size_of(dtype), cat(type.name, " ", op.name),
               [&](ncclComm_t comm, cudaStream_t stream) {
                 return ncclReduceScatter(data, mine, count, type.type, op.operation, comm, stream);
               });
}

std::unique_ptr<Work> NcclCommunicator::exchange(std::span<const Transfer> sends,
                                                 std::span<const Transfer> receives) {
  size_t bytes = 0;
  std::vector<std::string> parts;
  for (const Transfer& send : sends) {
    parts.push_back(cat("to rank ", send.peer));
    bytes += send.bytes;
  }
  for (const Transfer& receive : receives) {
    parts.push_back(cat("from rank ", receive.peer));
    bytes += receive.bytes;
  }
  if (parts.empty()) {
    return std::make_unique<NoWork>();
  }
  return start(CollectiveKind::exchange, bytes, join(parts, " "), [&](ncclComm_t comm, cudaStream_t stream) {
    return in_a_group([&] {
      ncclResult_t result = ncclSuccess;
      for (const Transfer& send : sends) {
        result = first_refusal(result, ncclSend(send.data, send.bytes, ncclInt8, send.peer, comm, stream));
      }
      for (const Transfer& receive : receives) {
        result = first_refusal(result,
                               ncclRecv(receive.data, receive.bytes, ncclInt8, receive.peer, comm, stream));
      }
      return result;
    });
  });
}

void NcclCommunicator::abort() {
  session_->abort();
}

void NcclCommunicator::reconnect(const std::string& unique_id, Deadline deadline) {
  session_->reconnect(unique_id, deadline);
}

}  // namespace yolodist::comm
