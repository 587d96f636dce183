// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/comm/host_communicator.h"

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <string>
#include <utility>

#include "common/base/error.h"
#include "common/base/text.h"
#include "common/protocol/shared_memory.h"

namespace yolodist::comm {
namespace {

using protocol::Channel;
using protocol::Collective;
using protocol::CollectiveKind;

// The launcher maps the memory as soon as it reads the message.
constexpr std::chrono::seconds launcher_answer_limit{60};

protocol::Dtype to_protocol(Dtype dtype) {
  switch (dtype) {
    case Dtype::f32:
      return protocol::Dtype::f32;
    case Dtype::f64:
      return protocol::Dtype::f64;
    case Dtype::i64:
      return protocol::Dtype::i64;
  }
  throw InternalError("unknown dtype");
}

protocol::Reduction to_protocol(Reduction reduction) {
  switch (reduction) {
    case Reduction::sum:
      return protocol::Reduction::sum;
    case Reduction::max:
      return protocol::Reduction::max;
    case Reduction::min:
      return protocol::Reduction::min;
  }
  throw InternalError("unknown reduction");
}

// What the chunks of one call have in common.
struct Operation {
  std::string name;  // for errors: "all-reduce of 1024 elements"
  std::mutex mutex;
  std::condition_variable changed;
  size_t unfinished_chunks = 0;
  std::string error;

  void finish_chunk(const std::string& chunk_error) {
    {
      const std::lock_guard lock(mutex);
      --unfinished_chunks;
      if (error.empty()) {
        error = chunk_error;
      }
    }
    changed.notify_all();
  }
};

class HostWork : public Work {
 public:
  explicit HostWork(std::shared_ptr<Operation> operation) : operation_(std::move(operation)) {}

  bool is_done() override {
    const std::lock_guard lock(operation_->mutex);
    return operation_->unfinished_chunks == 0;
  }

  void wait(Deadline deadline) override {
    std::unique_lock lock(operation_->mutex);
    while (operation_->unfinished_chunks > 0 && operation_->error.empty()) {
      if (deadline.has_passed()) {
        throw PeerLost(cat(operation_->name, " did not finish in time: a peer is gone or stuck"));
      }
      operation_->changed.wait_until(lock, deadline.at());
    }
    if (!operation_->error.empty()) {
      throw PeerLost(cat(operation_->name, " failed: ", operation_->error));
    }
  }

 private:
  std::shared_ptr<Operation> operation_;
};

}  // namespace

// The staging area, its slots, and the chunks that wait for one. Chunks start strictly in the order of their
// calls, which is the same on all ranks, so the launchers' sequences agree however the timing differs.
class HostCommunicator::Staging : public std::enable_shared_from_this<HostCommunicator::Staging> {
 public:
  struct Chunk {
    Collective collective;
    const std::byte* source = nullptr;  // copied into the slot at source_offset; null = nothing to copy
    size_t source_bytes = 0, source_offset = 0;
    std::byte* destination = nullptr;  // gets `copies` pieces of copy_bytes, stride_bytes apart
    size_t result_offset = 0;          // where the first piece begins in the slot
    size_t copy_bytes = 0, copies = 1, stride_bytes = 0;
    std::shared_ptr<Operation> operation;
  };

  Staging(link::Link& link, link::SharedExtent extent) : link_(link), extent_(extent) {
    for (int64_t i = protocol::staging_slot_count - 1; i >= 0; --i) {
      free_slots_.push_back(i);
    }
  }

  void enqueue(std::vector<Chunk> chunks) {
    const std::lock_guard lock(mutex_);
    waiting_.insert(waiting_.end(), std::make_move_iterator(chunks.begin()),
                    std::make_move_iterator(chunks.end()));
    start_waiting_locked();
  }

 private:
  void start_waiting_locked() {
    while (!waiting_.empty() && !free_slots_.empty()) {
      const int64_t slot = free_slots_.back();
      free_slots_.pop_back();
      Chunk chunk = std::move(waiting_.front());
      waiting_.pop_front();
      if (chunk.source != nullptr) {
        std::memcpy(slot_memory(slot) + chunk.source_offset, chunk.source, chunk.source_bytes);
      }
      Collective collective = chunk.collective;
      collective.offset_bytes = extent_.offset_bytes + slot * protocol::staging_slot_bytes;
      link_.start_collective(collective, [self = shared_from_this(), slot, chunk = std::move(chunk)](
                                             const std::string& error) { self->finish(slot, chunk, error); });
    }
  }

  void finish(int64_t slot, const Chunk& chunk, const std::string& error) {
    if (error.empty() && chunk.destination != nullptr) {
      for (size_t i = 0; i < chunk.copies; ++i) {
        std::memcpy(chunk.destination + i * chunk.stride_bytes,
                    slot_memory(slot) + chunk.result_offset + i * chunk.copy_bytes, chunk.copy_bytes);
      }
    }
    chunk.operation->finish_chunk(error);

    std::deque<Chunk> abandoned;
    std::string reason = error;
    {
      const std::lock_guard lock(mutex_);
      free_slots_.push_back(slot);
      if (reason.empty()) {
        try {
          start_waiting_locked();
        } catch (const Error& failure) {
          reason = failure.what();
        }
      }
      if (!reason.empty()) {
        abandoned.swap(waiting_);
      }
    }
    for (const Chunk& waiting : abandoned) {
      waiting.operation->finish_chunk(reason);
    }
  }

  std::byte* slot_memory(int64_t slot) const {
    return extent_.memory.data() + slot * protocol::staging_slot_bytes;
  }

  link::Link& link_;
  const link::SharedExtent extent_;
  std::mutex mutex_;
  std::vector<int64_t> free_slots_;
  std::deque<Chunk> waiting_;
};

HostCommunicator::HostCommunicator(link::Link& link, int rank, int world_size)
    : link_(link), rank_(rank), world_size_(world_size) {
  check(rank >= 0 && rank < world_size, "the rank is below the world size");
  check(world_size <= protocol::staging_slot_bytes, "every rank has room in a staging slot");
  staging_ = std::make_shared<Staging>(
      link, link.extend_shared_memory(protocol::staging_bytes, Deadline::after(launcher_answer_limit)));
}

HostCommunicator::~HostCommunicator() = default;

std::span<std::byte> HostCommunicator::allocate_shared(size_t bytes) {
  check(shared_.memory.empty(), "allocate_shared is called once");
  if (bytes == 0) {
    return {};
  }
  shared_ = link_.extend_shared_memory(static_cast<int64_t>(bytes), Deadline::after(launcher_answer_limit));
  return shared_.memory.first(bytes);
}

bool HostCommunicator::is_shared(const void* data, size_t bytes) const {
  const auto* begin = static_cast<const std::byte*>(data);
  return !shared_.memory.empty() && begin >= shared_.memory.data() &&
         begin + bytes <= shared_.memory.data() + shared_.memory.size();
}

int64_t HostCommunicator::shared_offset(const void* data) const {
  return shared_.offset_bytes + (static_cast<const std::byte*>(data) - shared_.memory.data());
}

std::unique_ptr<Work> HostCommunicator::all_reduce(void* data, size_t count, Dtype dtype,
                                                   Reduction reduction) {
  ++all_reduce_count_;
  auto operation = std::make_shared<Operation>();
  operation->name = cat("all-reduce of ", count, " elements");
  if (world_size_ == 1 || count == 0) {
    return std::make_unique<HostWork>(operation);
  }
  Collective collective;
  collective.kind = CollectiveKind::all_reduce;
  collective.dtype = to_protocol(dtype);
  collective.reduction = to_protocol(reduction);
  const size_t element_bytes = size_of(dtype);

  if (is_shared(data, count * element_bytes)) {
    collective.channel = Channel::gradients;
    collective.offset_bytes = shared_offset(data);
    collective.count = static_cast<int64_t>(count);
    operation->unfinished_chunks = 1;
    link_.start_collective(collective,
                           [operation](const std::string& error) { operation->finish_chunk(error); });
    return std::make_unique<HostWork>(operation);
  }

  const size_t elements_a_chunk = static_cast<size_t>(protocol::staging_slot_bytes) / element_bytes;
  std::vector<Staging::Chunk> chunks;
  for (size_t begin = 0; begin < count; begin += elements_a_chunk) {
    const size_t elements = std::min(elements_a_chunk, count - begin);
    Staging::Chunk chunk;
    chunk.collective = collective;
    chunk.collective.count = static_cast<int64_t>(elements);
    chunk.destination = static_cast<std::byte*>(data) + begin * element_bytes;
    chunk.copy_bytes = elements * element_bytes;
    chunk.source = chunk.destination;
    chunk.source_bytes = chunk.copy_bytes;
    chunk.operation = operation;
    chunks.push_back(std::move(chunk));
  }
  operation->unfinished_chunks = chunks.size();
  staging_->enqueue(std::move(chunks));
  return std::make_unique<HostWork>(operation);
}

std::unique_ptr<Work> HostCommunicator::all_gather(const void* mine, size_t bytes, void* gathered) {
  auto operation = std::make_shared<Operation>();
  operation->name = cat("all-gather of ", bytes, " bytes a rank");
  if (bytes > 0 && world_size_ == 1) {
    std::memmove(gathered, mine, bytes);
  }
  if (world_size_ == 1 || bytes == 0) {
    return std::make_unique<HostWork>(operation);
  }
  const auto ranks = static_cast<size_t>(world_size_);
  const size_t bytes_a_chunk = static_cast<size_t>(protocol::staging_slot_bytes) / ranks;
  std::vector<Staging::Chunk> chunks;
  for (size_t begin = 0; begin < bytes; begin += bytes_a_chunk) {
    Staging::Chunk chunk;
    chunk.copy_bytes = std::min(bytes_a_chunk, bytes - begin);
    chunk.collective.kind = CollectiveKind::all_gather;
    chunk.collective.count = static_cast<int64_t>(chunk.copy_bytes);
    chunk.source = static_cast<const std::byte*>(mine) + begin;
    chunk.source_bytes = chunk.copy_bytes;
    chunk.source_offset = static_cast<size_t>(rank_) * chunk.copy_bytes;
    chunk.destination = static_cast<std::byte*>(gathered) + begin;
    chunk.copies = ranks;
    chunk.stride_bytes = bytes;
    chunk.operation = operation;
    chunks.push_back(std::move(chunk));
  }
  operation->unfinished_chunks = chunks.size();
  staging_->enqueue(std::move(chunks));
  return std::make_unique<HostWork>(operation);
}

std::unique_ptr<Work> HostCommunicator::broadcast(void* data, size_t bytes, int root) {
  check(root >= 0 && root < world_size_, "the root is a rank");
  auto operation = std::make_shared<Operation>();
  operation->name = cat("broadcast of ", bytes, " bytes");
  if (world_size_ == 1 || bytes == 0) {
    return std::make_unique<HostWork>(operation);
  }
  Collective collective;
  collective.kind = CollectiveKind::broadcast;
  collective.root = root;
  if (is_shared(data, bytes)) {
    collective.channel = Channel::gradients;
    collective.offset_bytes = shared_offset(data);
    collective.count = static_cast<int64_t>(bytes);
    operation->unfinished_chunks = 1;
    link_.start_collective(collective,
                           [operation](const std::string& error) { operation->finish_chunk(error); });
    return std::make_unique<HostWork>(operation);
  }
  constexpr auto bytes_a_chunk = static_cast<size_t>(protocol::staging_slot_bytes);
  std::vector<Staging::Chunk> chunks;
  for (size_t begin = 0; begin < bytes; begin += bytes_a_chunk) {
    Staging::Chunk chunk;
    chunk.copy_bytes = std::min(bytes_a_chunk, bytes - begin);
    chunk.collective = collective;
    chunk.collective.count = static_cast<int64_t>(chunk.copy_bytes);
    std::byte* piece = static_cast<std::byte*>(data) + begin;
    if (rank_ == root) {
      chunk.source = piece;
      chunk.source_bytes = chunk.copy_bytes;
    } else {
      chunk.destination = piece;
    }
    chunk.operation = operation;
    chunks.push_back(std::move(chunk));
  }
  operation->unfinished_chunks = chunks.size();
  staging_->enqueue(std::move(chunks));
  return std::make_unique<HostWork>(operation);
}

std::unique_ptr<Work> HostCommunicator::reduce_scatter(const void* data, void* mine, size_t count,
                                                       Dtype dtype, Reduction reduction) {
  auto operation = std::make_shared<Operation>();
  operation->name = cat("reduce-scatter of ", count, " elements a rank");
  const size_t element_bytes = size_of(dtype);
  if (world_size_ == 1 && count > 0 && data != mine) {
    std::memmove(mine, data, count * element_bytes);
  }
  if (world_size_ == 1 || count == 0) {
    return std::make_unique<HostWork>(operation);
  }
  const auto ranks = static_cast<size_t>(world_size_);
  const size_t elements_a_chunk = static_cast<size_t>(protocol::staging_slot_bytes) / element_bytes;
  const size_t own_begin = static_cast<size_t>(rank_) * count;
  std::vector<Staging::Chunk> chunks;
  for (size_t begin = 0; begin < ranks * count; begin += elements_a_chunk) {
    const size_t end = std::min(begin + elements_a_chunk, ranks * count);
    Staging::Chunk chunk;
    chunk.collective.kind = CollectiveKind::all_reduce;
    chunk.collective.dtype = to_protocol(dtype);
    chunk.collective.reduction = to_protocol(reduction);
    chunk.collective.count = static_cast<int64_t>(end - begin);
    chunk.source = static_cast<const std::byte*>(data) + begin * element_bytes;
    chunk.source_bytes = (end - begin) * element_bytes;
    const size_t kept_begin = std::max(begin, own_begin), kept_end = std::min(end, own_begin + count);
    if (kept_begin < kept_end) {
      chunk.destination = static_cast<std::byte*>(mine) + (kept_begin - own_begin) * element_bytes;
      chunk.copy_bytes = (kept_end - kept_begin) * element_bytes;
      chunk.result_offset = (kept_begin - begin) * element_bytes;
    }
    chunk.operation = operation;
    chunks.push_back(std::move(chunk));
  }
  operation->unfinished_chunks = chunks.size();
  staging_->enqueue(std::move(chunks));
  return std::make_unique<HostWork>(operation);
}

}  // namespace yolodist::comm
