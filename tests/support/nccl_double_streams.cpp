// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "tests/support/nccl_double_streams.h"

#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/nccl_double.h"

namespace yolodist::test::nccl_double {
namespace {

constexpr int device_count = 8;

struct Event {
  int64_t recorded = 0, reached = 0;
  cudaError_t error = cudaSuccess;  // of the stream when the last record was reached
};

struct Task {
  std::function<cudaError_t()> run;
  bool even_if_broken = false;  // events are reached on a broken stream, too
};

struct Stream {
  std::deque<Task> tasks;
  bool is_busy = false, is_closed = false;
  cudaError_t error = cudaSuccess;
};

// What all threads share. Never destroyed: streams may still run when the program ends.
struct Machine {
  std::mutex mutex;
  std::condition_variable changed;
  std::map<void*, std::shared_ptr<Stream>> streams;
  std::map<void*, std::shared_ptr<Event>> events;
  std::map<std::string, int64_t, std::less<>> calls;
  std::vector<std::string> misuse;
};

Machine& machine() {
  static Machine* const the_machine = new Machine;
  return *the_machine;
}

thread_local cudaError_t last_error = cudaSuccess;

cudaError_t answer(cudaError_t result) {
  if (result != cudaSuccess) {
    last_error = result;
  }
  return result;
}

void run_stream(const std::shared_ptr<Stream>& stream) {
  Machine& m = machine();
  std::unique_lock lock(m.mutex);
  while (true) {
    m.changed.wait(lock, [&] { return !stream->tasks.empty() || stream->is_closed; });
    if (stream->tasks.empty()) {
      return;
    }
    const Task task = std::move(stream->tasks.front());
    stream->tasks.pop_front();
    stream->is_busy = true;
    const bool is_skipped = stream->error != cudaSuccess && !task.even_if_broken;
    lock.unlock();
    const cudaError_t result = is_skipped ? cudaSuccess : task.run();
    lock.lock();
    stream->is_busy = false;
    if (stream->error == cudaSuccess) {
      stream->error = result;
    }
    m.changed.notify_all();
  }
}

std::shared_ptr<Stream> open_locked(void* key) {
  auto stream = std::make_shared<Stream>();
  machine().streams[key] = stream;
  std::thread(run_stream, stream).detach();
  return stream;
}

// nullptr (no such stream) is a misuse. The default stream is there from its first use.
std::shared_ptr<Stream> find_locked(cudaStream_t handle) {
  Machine& m = machine();
  const auto found = m.streams.find(handle);
  if (found != m.streams.end()) {
    return found->second;
  }
  if (handle == nullptr) {
    return open_locked(nullptr);
  }
  m.misuse.push_back("a stream that is not there");
  return nullptr;
}

std::shared_ptr<Event> find_locked(cudaEvent_t handle) {
  Machine& m = machine();
  const auto found = m.events.find(handle);
  if (found == m.events.end()) {
    m.misuse.push_back("an event that is not there");
    return nullptr;
  }
  return found->second;
}

}  // namespace

void note_call(std::string_view function) {
  Machine& m = machine();
  const std::lock_guard lock(m.mutex);
  const auto found = m.calls.find(function);
  if (found == m.calls.end()) {
    m.calls.emplace(function, 1);
  } else {
    ++found->second;
  }
}

void note_misuse(const std::string& text) {
  Machine& m = machine();
  const std::lock_guard lock(m.mutex);
  m.misuse.push_back(text);
}

int64_t calls(std::string_view function) {
  Machine& m = machine();
  const std::lock_guard lock(m.mutex);
  const auto found = m.calls.find(function);
  return found == m.calls.end() ? 0 : found->second;
}

std::vector<std::string> misuse() {
  Machine& m = machine();
  const std::lock_guard lock(m.mutex);
  return m.misuse;
}

void forget_calls() {
  Machine& m = machine();
  const std::lock_guard lock(m.mutex);
  m.calls.clear();
  m.misuse.clear();
}

void push(cudaStream_t handle, std::function<cudaError_t()> task) {
  Machine& m = machine();
  const std::lock_guard lock(m.mutex);
  if (const auto stream = find_locked(handle)) {
    stream->tasks.push_back({.run = std::move(task)});
    m.changed.notify_all();
  }
}

}  // namespace yolodist::test::nccl_double

using namespace yolodist::test::nccl_double;

// The CUDA runtime's functions, as cuda_runtime_api.h declares them.
extern "C" {

cudaError_t cudaGetDeviceCount(int* count) {
  note_call("cudaGetDeviceCount");
  *count = device_count;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
  note_call("cudaSetDevice");
  return answer(device >= 0 && device < device_count ? cudaSuccess : cudaErrorInvalidDevice);
}

cudaError_t cudaGetLastError() {
  return std::exchange(last_error, cudaSuccess);
}

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorIllegalAddress:
      return "an illegal memory access was encountered";
    default:
      return "some error of the double";
  }
}

cudaError_t cudaMalloc(void** memory, size_t bytes) {
  note_call("cudaMalloc");
  constexpr size_t alignment = 256;
  *memory = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  return answer(*memory != nullptr ? cudaSuccess : cudaErrorMemoryAllocation);
}

cudaError_t cudaFree(void* memory) {
  note_call("cudaFree");
  std::free(memory);
  return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t stream) {
  note_call("cudaMemsetAsync");
  // On the host's own memory at once, so that a test may use it without a stream.
  static_cast<void>(stream);
  std::memset(memory, value, bytes);
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned int) {
  note_call("cudaStreamCreateWithFlags");
  *stream = reinterpret_cast<cudaStream_t>(new char);  // an address that nobody else has
  const std::lock_guard lock(machine().mutex);
  open_locked(*stream);
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t handle) {
  note_call("cudaStreamDestroy");
  Machine& m = machine();
  const std::lock_guard lock(m.mutex);
  if (const auto stream = find_locked(handle)) {
    stream->is_closed = true;
    m.streams.erase(handle);
    m.changed.notify_all();
    delete reinterpret_cast<char*>(handle);
  }
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  note_call("cudaStreamSynchronize");
  Machine& m = machine();
  std::unique_lock lock(m.mutex);
  const auto stream = find_locked(handle);
  if (stream == nullptr) {
    return answer(cudaErrorInvalidResourceHandle);
  }
  m.changed.wait(lock, [&] { return stream->tasks.empty() && !stream->is_busy; });
  return answer(stream->error);
}

cudaError_t cudaStreamQuery(cudaStream_t handle) {
  note_call("cudaStreamQuery");
  const std::lock_guard lock(machine().mutex);
  const auto stream = find_locked(handle);
  if (stream == nullptr) {
    return answer(cudaErrorInvalidResourceHandle);
  }
  return answer(stream->tasks.empty() && !stream->is_busy ? stream->error : cudaErrorNotReady);
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* data) {
  note_call("cudaLaunchHostFunc");
  push(stream, [function, data] {
    function(data);
    return cudaSuccess;
  });
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned int) {
  note_call("cudaEventCreateWithFlags");
  *event = reinterpret_cast<cudaEvent_t>(new char);
  const std::lock_guard lock(machine().mutex);
  machine().events[*event] = std::make_shared<Event>();
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t handle) {
  note_call("cudaEventDestroy");
  const std::lock_guard lock(machine().mutex);
  if (find_locked(handle) != nullptr) {
    machine().events.erase(handle);
    delete reinterpret_cast<char*>(handle);
  }
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t handle, cudaStream_t stream_handle) {
  note_call("cudaEventRecord");
  Machine& m = machine();
  const std::lock_guard lock(m.mutex);
  const auto event = find_locked(handle);
  const auto stream = find_locked(stream_handle);
  if (event == nullptr || stream == nullptr) {
    return answer(cudaErrorInvalidResourceHandle);
  }
  const auto reach = [event, number = ++event->recorded, on = stream.get()] {
    const std::lock_guard task_lock(machine().mutex);
    event->reached = std::max(event->reached, number);
    event->error = on->error;
    return cudaSuccess;
  };
  stream->tasks.push_back({.run = reach, .even_if_broken = true});
  m.changed.notify_all();
  return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t handle) {
  note_call("cudaEventQuery");
  const std::lock_guard lock(machine().mutex);
  const auto event = find_locked(handle);
  if (event == nullptr) {
    return answer(cudaErrorInvalidResourceHandle);
  }
  return answer(event->reached >= event->recorded ? event->error : cudaErrorNotReady);
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream_handle, cudaEvent_t event_handle, unsigned int) {
  note_call("cudaStreamWaitEvent");
  Machine& m = machine();
  const std::lock_guard lock(m.mutex);
  const auto event = find_locked(event_handle);
  const auto stream = find_locked(stream_handle);
  if (event == nullptr || stream == nullptr) {
    return answer(cudaErrorInvalidResourceHandle);
  }
  const auto wait = [event, number = event->recorded] {
    Machine& the_machine = machine();
    std::unique_lock task_lock(the_machine.mutex);
    the_machine.changed.wait(task_lock, [&] { return event->reached >= number; });
    return cudaSuccess;
  };
  stream->tasks.push_back({.run = wait, .even_if_broken = true});
  m.changed.notify_all();
  return cudaSuccess;
}

}  // extern "C"
