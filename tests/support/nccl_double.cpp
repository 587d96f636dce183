// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "tests/support/nccl_double.h"

#include <nccl.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "tests/support/nccl_double_faults.h"
#include "tests/support/nccl_double_meeting.h"
#include "tests/support/nccl_double_streams.h"

namespace yolodist::test::nccl_double {
namespace {

using Clock = std::chrono::steady_clock;

// For how long a call stays "in progress": so that whoever does not poll is seen.
constexpr std::chrono::microseconds start_delay{300};

struct Call {
  Operation operation;
  cudaStream_t stream = nullptr;
  std::optional<Fault> fault;
};

struct Communicator {
  int rank = 0, world_size = 1;
  std::shared_ptr<Meeting> meeting;
  std::atomic<int> error{ncclSuccess};
  std::atomic<bool> is_connected{false}, is_aborted{false}, is_finalizing{false};
  std::atomic<int> inside{0};   // threads in a function with this communicator
  std::atomic<int> running{0};  // groups on streams
  int64_t next_call = 0;
  std::vector<Call> starting;  // called, not yet on its stream
  Clock::time_point starts_at{};
  std::thread connecting;
};

struct Library {
  std::mutex mutex;
  std::map<ncclComm_t, std::shared_ptr<Communicator>> communicators;
  std::vector<std::string> own_ids;
  std::string last_error;
};

// Never destroyed: streams may still run when the program ends.
Library& library() {
  static Library* const the_library = [] {
    auto* made = new Library;
    std::atexit([] {
      for (const std::string& name : library().own_ids) {
        Meeting::remove(name);
      }
    });
    return made;
  }();
  return *the_library;
}

bool is_of_a_call(Action action) {
  return action == Action::call_fails || action == Action::async_error || action == Action::stall ||
         action == Action::device_error || action == Action::exit_process;
}

ncclResult_t refuse(int result, const std::string& text) {
  const std::lock_guard lock(library().mutex);
  library().last_error = text;
  return static_cast<ncclResult_t>(result);
}

[[noreturn]] void hang() {
  while (true) {
    std::this_thread::sleep_for(std::chrono::hours(1));
  }
}

// Counts the calling thread as inside; nullptr and a note when the handle is not valid.
class Inside {
 public:
  Inside(ncclComm_t handle, const char* function) {
    note_call(function);
    {
      const std::lock_guard lock(library().mutex);
      const auto found = library().communicators.find(handle);
      communicator_ = found == library().communicators.end() ? nullptr : found->second;
    }
    if (communicator_ == nullptr) {
      note_misuse(std::string(function) + " of a communicator that is not there");
    } else if (communicator_->inside++ > 0) {
      note_misuse(std::string(function) + " while another thread is inside");
    }
  }
  ~Inside() {
    if (communicator_ != nullptr) {
      --communicator_->inside;
    }
  }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;
  explicit operator bool() const { return communicator_ != nullptr; }
  Communicator* operator->() const { return communicator_.get(); }
  const std::shared_ptr<Communicator>& get() const { return communicator_; }

 private:
  std::shared_ptr<Communicator> communicator_;
};

void fail_async(Communicator& communicator, const Fault& fault) {
  refuse(fault.result, fault.text);
  communicator.error = fault.result;
}

// Runs on the stream's thread what was called as a group.
cudaError_t run(Communicator& c, const std::vector<Call>& calls) {
  const auto give_up = [&c] {
    if (peers_notice() && c.error == ncclSuccess && c.meeting->has_lost_peer() && !c.is_aborted) {
      fail_async(c, {.result = ncclRemoteError, .text = "a peer is gone"});
    }
    return c.is_aborted.load();
  };
  std::vector<Operation> transfers;
  for (const Call& call : calls) {
    if (call.fault) {
      switch (call.fault->action) {
        case Action::device_error:
          return cudaErrorIllegalAddress;
        case Action::exit_process:
          ::kill(::getpid(), SIGKILL);
          hang();
        case Action::async_error:
          fail_async(c, *call.fault);
          [[fallthrough]];
        default:
          while (!c.is_aborted) {
            std::this_thread::sleep_for(std::chrono::microseconds(200));
          }
          return cudaSuccess;
      }
    }
    const Kind kind = call.operation.kind;
    if (kind == Kind::send || kind == Kind::receive) {
      transfers.push_back(call.operation);
    } else if (!c.meeting->collective(call.operation, give_up)) {
      return cudaSuccess;
    }
  }
  c.meeting->exchange(transfers, give_up);
  return cudaSuccess;
}

// What was called goes on its stream.
void start(const std::shared_ptr<Communicator>& c) {
  std::vector<Call> calls = std::exchange(c->starting, {});
  ++c->running;
  const cudaStream_t stream = calls[0].stream;
  push(stream, [c, calls = std::move(calls)] {
    const cudaError_t result = c->is_aborted ? cudaSuccess : run(*c, calls);
    --c->running;
    return result;
  });
}

// Of the calling thread: what ncclGroupStart has begun to collect.
thread_local int group_depth = 0;
thread_local std::vector<std::pair<ncclComm_t, Call>> group;

ncclResult_t begin(const Inside& c, std::vector<Call> calls) {
  if (!c->is_connected || !c->starting.empty()) {
    note_misuse("a call while another is in progress");
    return refuse(ncclInvalidArgument,
                  "Attempt to use communicator before the previous operation returned ncclSuccess");
  }
  for (Call& call : calls) {
    const int64_t number = c->next_call++;
    call.fault = take_fault(
        c->rank, [number](const Fault& fault) { return fault.call == number && is_of_a_call(fault.action); });
    if (call.fault && call.fault->action == Action::call_fails) {
      return refuse(call.fault->result, call.fault->text);
    }
  }
  c.get()->starting = std::move(calls);
  c.get()->starts_at = Clock::now() + start_delay;
  return ncclInProgress;
}

ncclResult_t call(const char* function, ncclComm_t handle, const Operation& operation, cudaStream_t stream) {
  const Inside c(handle, function);
  if (!c) {
    return refuse(ncclInvalidArgument, "no such communicator");
  }
  if (c->error != ncclSuccess) {
    return static_cast<ncclResult_t>(c->error.load());
  }
  if (operation.peer < 0 || operation.peer >= c->world_size) {
    return refuse(ncclInvalidArgument, "no such rank");
  }
  if (group_depth > 0) {
    group.emplace_back(handle, Call{.operation = operation, .stream = stream, .fault = {}});
    return ncclSuccess;
  }
  return begin(c, {{.operation = operation, .stream = stream, .fault = {}}});
}

// Frees what is left when nothing runs any more.
void forget(ncclComm_t handle, Communicator& c) {
  while (c.running > 0) {
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  if (c.connecting.joinable()) {
    c.connecting.join();
  }
  const std::lock_guard lock(library().mutex);
  library().communicators.erase(handle);
  delete reinterpret_cast<char*>(handle);
}

}  // namespace

}  // namespace yolodist::test::nccl_double

using namespace yolodist::test::nccl_double;

// NCCL's functions, as nccl.h declares them.
extern "C" {

ncclResult_t ncclGetVersion(int* version) {
  note_call("ncclGetVersion");
  *version = NCCL_VERSION_CODE;
  return ncclSuccess;
}

const char* ncclGetErrorString(ncclResult_t result) {
  switch (result) {
    case ncclSuccess:
      return "no error";
    case ncclUnhandledCudaError:
      return "unhandled cuda error";
    case ncclSystemError:
      return "unhandled system error";
    case ncclInternalError:
      return "internal error";
    case ncclInvalidArgument:
      return "invalid argument";
    case ncclInvalidUsage:
      return "invalid usage";
    case ncclRemoteError:
      return "remote process exited or there was a network error";
    default:
      return "unknown result code";
  }
}

const char* ncclGetLastError(ncclComm_t) {
  thread_local std::string text;
  const std::lock_guard lock(library().mutex);
  text = library().last_error;
  return text.c_str();
}

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  note_call("ncclGetUniqueId");
  const std::string name = Meeting::create();
  std::memset(id->internal, 0, sizeof(id->internal));
  std::memcpy(id->internal, name.data(), name.size());
  const std::lock_guard lock(library().mutex);
  library().own_ids.push_back(name);
  return ncclSuccess;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t* handle, int world_size, ncclUniqueId id, int rank,
                                    ncclConfig_t* config) {
  note_call("ncclCommInitRankConfig");
  const ncclConfig_t expected = NCCL_CONFIG_INITIALIZER;
  if (config == nullptr || config->magic != expected.magic || config->blocking != 0) {
    note_misuse("a communicator that is not non-blocking");
    return refuse(ncclInvalidArgument, "the double is non-blocking only");
  }
  if (rank < 0 || rank >= world_size || world_size > Meeting::most_ranks) {
    return refuse(ncclInvalidArgument, "no such rank");
  }
  const auto c = std::make_shared<Communicator>();
  c->rank = rank;
  c->world_size = world_size;
  *handle = reinterpret_cast<ncclComm_t>(new char);  // an address that nobody else has
  {
    const std::lock_guard lock(library().mutex);
    library().communicators[*handle] = c;
  }
  const std::string name(id.internal);
  c->connecting = std::thread([c = c.get(), name] {
    if (const auto fault = take_fault(c->rank, Action::init_fails)) {
      fail_async(*c, *fault);
      return;
    }
    if (!take_fault(c->rank, Action::init_stalls)) {
      c->meeting = Meeting::join(name, c->rank, c->world_size, [c] { return c->is_aborted.load(); });
      c->is_connected = c->meeting != nullptr;
    }
  });
  return ncclInProgress;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t handle, ncclResult_t* state) {
  const Inside c(handle, "ncclCommGetAsyncError");
  if (!c) {
    return ncclInvalidArgument;
  }
  *state = static_cast<ncclResult_t>(c->error.load());
  if (*state != ncclSuccess) {
    return ncclSuccess;
  }
  if (!c->is_connected || (c->is_finalizing && c->running > 0)) {
    *state = ncclInProgress;
  } else if (!c->starting.empty()) {
    if (Clock::now() < c->starts_at) {
      *state = ncclInProgress;
    } else {
      start(c.get());
    }
  }
  return ncclSuccess;
}

ncclResult_t ncclCommFinalize(ncclComm_t handle) {
  const Inside c(handle, "ncclCommFinalize");
  if (!c) {
    return ncclInvalidArgument;
  }
  if (c->error != ncclSuccess) {
    return static_cast<ncclResult_t>(c->error.load());
  }
  c->is_finalizing = true;
  return ncclInProgress;
}

ncclResult_t ncclCommDestroy(ncclComm_t handle) {
  const Inside c(handle, "ncclCommDestroy");
  if (!c) {
    return ncclInvalidArgument;
  }
  if (take_fault(c->rank, Action::destroy_hangs)) {
    hang();
  }
  forget(handle, *c.get());
  return ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t handle) {
  const Inside c(handle, "ncclCommAbort");
  if (!c) {
    return ncclInvalidArgument;
  }
  if (take_fault(c->rank, Action::abort_hangs)) {
    c->connecting.join();
    hang();
  }
  c->is_aborted = true;
  if (c->is_connected) {
    c->meeting->mark_aborted();
  }
  forget(handle, *c.get());
  return ncclSuccess;
}

ncclResult_t ncclGroupStart() {
  note_call("ncclGroupStart");
  ++group_depth;
  return ncclSuccess;
}

ncclResult_t ncclGroupEnd() {
  note_call("ncclGroupEnd");
  if (--group_depth > 0) {
    return ncclSuccess;
  }
  std::map<ncclComm_t, std::vector<Call>> calls_of;
  for (auto& [handle, one] : std::exchange(group, {})) {
    calls_of[handle].push_back(one);
  }
  ncclResult_t result = ncclSuccess;
  for (auto& [handle, calls] : calls_of) {
    const Inside c(handle, "ncclGroupEnd");
    if (c && (result == ncclSuccess || result == ncclInProgress)) {
      result = begin(c, std::move(calls));
    }
  }
  return result;
}

ncclResult_t ncclAllReduce(const void* source, void* destination, size_t count, ncclDataType_t type,
                           ncclRedOp_t reduction, ncclComm_t communicator, cudaStream_t stream) {
  return call("ncclAllReduce", communicator,
              {.kind = Kind::all_reduce,
               .source = source,
               .destination = destination,
               .count = count,
               .type = type,
               .reduction = reduction},
              stream);
}

ncclResult_t ncclReduceScatter(const void* source, void* destination, size_t count, ncclDataType_t type,
                               ncclRedOp_t reduction, ncclComm_t communicator, cudaStream_t stream) {
  return call("ncclReduceScatter", communicator,
              {.kind = Kind::reduce_scatter,
               .source = source,
               .destination = destination,
               .count = count,
               .type = type,
               .reduction = reduction},
              stream);
}

ncclResult_t ncclAllGather(const void* source, void* destination, size_t count, ncclDataType_t type,
                           ncclComm_t communicator, cudaStream_t stream) {
  return call(
      "ncclAllGather", communicator,
      {.kind = Kind::all_gather, .source = source, .destination = destination, .count = count, .type = type},
      stream);
}

ncclResult_t ncclBroadcast(const void* source, void* destination, size_t count, ncclDataType_t type, int root,
                           ncclComm_t communicator, cudaStream_t stream) {
  return call("ncclBroadcast", communicator,
              {.kind = Kind::broadcast,
               .source = source,
               .destination = destination,
               .count = count,
               .type = type,
               .peer = root},
              stream);
}

ncclResult_t ncclSend(const void* source, size_t count, ncclDataType_t type, int peer,
                      ncclComm_t communicator, cudaStream_t stream) {
  return call("ncclSend", communicator,
              {.kind = Kind::send, .source = source, .count = count, .type = type, .peer = peer}, stream);
}

ncclResult_t ncclRecv(void* destination, size_t count, ncclDataType_t type, int peer, ncclComm_t communicator,
                      cudaStream_t stream) {
  return call("ncclRecv", communicator,
              {.kind = Kind::receive, .destination = destination, .count = count, .type = type, .peer = peer},
              stream);
}

}  // extern "C"
