// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/comm/local_communicator.h"

#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <new>
#include <string>
#include <utility>

#include "common/base/error.h"
#include "common/base/text.h"

namespace yolodist::comm {
namespace {

enum class Kind { all_reduce, reduce_scatter, all_gather, broadcast };

struct Call {
  Kind kind = Kind::all_reduce;
  size_t count = 0;
  Dtype dtype = Dtype::f32;
  Reduction reduction = Reduction::sum;
  int root = 0;
  const std::byte* source = nullptr;  // reduce_scatter, all_gather
  std::byte* data = nullptr;
  bool matches(const Call& other) const {
    return kind == other.kind && count == other.count && dtype == other.dtype &&
           reduction == other.reduction && root == other.root;
  }
};

// One collective: the calls of the ranks that have come so far.
struct Meeting {
  std::vector<Call> calls;
  int arrived = 0;
  bool done = false;
  std::string error;
};

template <typename T>
void reduce(const std::vector<Call>& calls) {
  const bool scatters = calls[0].kind == Kind::reduce_scatter;
  const auto values_of = [&](const Call& call) {
    return reinterpret_cast<const T*>(scatters ? call.source : call.data);
  };
  std::vector<T> total(calls[0].count * (scatters ? calls.size() : 1));
  std::memcpy(total.data(), values_of(calls[0]), total.size() * sizeof(T));
  for (size_t r = 1; r < calls.size(); ++r) {
    const T* values = values_of(calls[r]);
    for (size_t i = 0; i < total.size(); ++i) {
      switch (calls[0].reduction) {
        case Reduction::sum:
          total[i] += values[i];
          break;
        case Reduction::max:
          total[i] = std::max(total[i], values[i]);
          break;
        case Reduction::min:
          total[i] = std::min(total[i], values[i]);
          break;
      }
    }
  }
  for (size_t r = 0; r < calls.size(); ++r) {
    std::memcpy(calls[r].data, total.data() + (scatters ? r * calls[0].count : 0),
                calls[0].count * sizeof(T));
  }
}

void carry_out(const std::vector<Call>& calls) {
  const Call& first = calls[0];
  if (first.count == 0) {
    return;
  }
  switch (first.kind) {
    case Kind::all_reduce:
    case Kind::reduce_scatter:
      switch (first.dtype) {
        case Dtype::f32:
          return reduce<float>(calls);
        case Dtype::f64:
          return reduce<double>(calls);
        case Dtype::i64:
          return reduce<int64_t>(calls);
      }
      return;
    case Kind::all_gather: {
      // Copied before any result is written: a rank may gather into the memory that it gives.
      std::vector<std::byte> gathered(first.count * calls.size());
      for (size_t r = 0; r < calls.size(); ++r) {
        std::memcpy(gathered.data() + r * first.count, calls[r].source, first.count);
      }
      for (const Call& call : calls) {
        std::memcpy(call.data, gathered.data(), gathered.size());
      }
      return;
    }
    case Kind::broadcast:
      for (const Call& call : calls) {
        if (call.data != calls[static_cast<size_t>(first.root)].data) {
          std::memcpy(call.data, calls[static_cast<size_t>(first.root)].data, first.count);
        }
      }
      return;
  }
}

class Group {
 public:
  explicit Group(int world_size) : world_size_(world_size) {}

  std::shared_ptr<Meeting> join(int rank, int64_t sequence, const Call& call) {
    const std::lock_guard lock(mutex_);
    std::shared_ptr<Meeting>& place = meetings_[sequence];
    if (!place) {
      place = std::make_shared<Meeting>();
      place->calls.resize(static_cast<size_t>(world_size_));
    }
    const std::shared_ptr<Meeting> meeting = place;
    if (meeting->arrived == 0) {
      std::fill(meeting->calls.begin(), meeting->calls.end(), call);
    } else if (!call.matches(meeting->calls[static_cast<size_t>(rank)])) {
      meeting->error = cat("collective ", sequence, " differs between ranks (seen on rank ", rank, ")");
    }
    meeting->calls[static_cast<size_t>(rank)] = call;
    if (++meeting->arrived == world_size_) {
      if (meeting->error.empty()) {
        carry_out(meeting->calls);
      }
      meeting->done = true;
      meetings_.erase(sequence);
      changed_.notify_all();
    }
    return meeting;
  }

  bool is_done(const Meeting& meeting) {
    const std::lock_guard lock(mutex_);
    return meeting.done;
  }

  void wait(const Meeting& meeting, Deadline deadline) {
    std::unique_lock lock(mutex_);
    while (!meeting.done) {
      if (has_left_) {
        throw PeerLost("a rank left while others wait for it in a collective");
      }
      if (deadline.has_passed()) {
        throw PeerLost(
            cat("only ", meeting.arrived, " of ", world_size_, " ranks came to a collective in time"));
      }
      changed_.wait_until(lock, deadline.at());
    }
    if (!meeting.error.empty()) {
      throw InternalError(meeting.error);
    }
  }

  // A rank that is gone comes to no further collective: those who wait for it are told at once.
  void leave() {
    const std::lock_guard lock(mutex_);
    has_left_ = true;
    changed_.notify_all();
  }

  int world_size() const { return world_size_; }

 private:
  const int world_size_;
  bool has_left_ = false;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<int64_t, std::shared_ptr<Meeting>> meetings_;
};

class LocalWork : public Work {
 public:
  LocalWork(std::shared_ptr<Group> group, std::shared_ptr<Meeting> meeting)
      : group_(std::move(group)), meeting_(std::move(meeting)) {}
  bool is_done() override { return group_->is_done(*meeting_); }
  void wait(Deadline deadline) override { group_->wait(*meeting_, deadline); }

 private:
  std::shared_ptr<Group> group_;
  std::shared_ptr<Meeting> meeting_;
};

class LocalCommunicator : public Communicator {
 public:
  LocalCommunicator(std::shared_ptr<Group> group, int rank) : group_(std::move(group)), rank_(rank) {}
  ~LocalCommunicator() override { group_->leave(); }
  LocalCommunicator(const LocalCommunicator&) = delete;
  LocalCommunicator& operator=(const LocalCommunicator&) = delete;

  int rank() const override { return rank_; }
  int world_size() const override { return group_->world_size(); }

  std::span<std::byte> allocate_shared(size_t bytes) override {
    check(shared_ == nullptr, "allocate_shared is called once");
    if (bytes == 0) {
      return {};
    }
    constexpr size_t alignment = 64;
    shared_.reset(static_cast<std::byte*>(
        std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment)));
    if (shared_ == nullptr) {
      throw StorageError(cat("no room for ", bytes, " bytes of gradient buckets"));
    }
    std::memset(shared_.get(), 0, bytes);
    return {shared_.get(), bytes};
  }

  std::unique_ptr<Work> all_reduce(void* data, size_t count, Dtype dtype, Reduction reduction) override {
    ++all_reduce_count_;
    return start({Kind::all_reduce, count, dtype, reduction, 0, nullptr, static_cast<std::byte*>(data)});
  }

  std::unique_ptr<Work> all_gather(const void* mine, size_t bytes, void* gathered) override {
    return start({Kind::all_gather, bytes, Dtype::f32, Reduction::sum, 0, static_cast<const std::byte*>(mine),
                  static_cast<std::byte*>(gathered)});
  }

  std::unique_ptr<Work> broadcast(void* data, size_t bytes, int root) override {
    check(root >= 0 && root < world_size(), "the root is a rank");
    return start(
        {Kind::broadcast, bytes, Dtype::f32, Reduction::sum, root, nullptr, static_cast<std::byte*>(data)});
  }

  std::unique_ptr<Work> reduce_scatter(const void* data, void* mine, size_t count, Dtype dtype,
                                       Reduction reduction) override {
    return start({Kind::reduce_scatter, count, dtype, reduction, 0, static_cast<const std::byte*>(data),
                  static_cast<std::byte*>(mine)});
  }

  int64_t all_reduce_count() const override { return all_reduce_count_; }

 private:
  struct Free {
    void operator()(std::byte* memory) const { std::free(memory); }
  };

  std::unique_ptr<Work> start(const Call& call) {
    return std::make_unique<LocalWork>(group_, group_->join(rank_, sequence_++, call));
  }

  std::shared_ptr<Group> group_;
  const int rank_;
  int64_t sequence_ = 0;
  int64_t all_reduce_count_ = 0;
  std::unique_ptr<std::byte, Free> shared_;
};

}  // namespace

std::vector<std::unique_ptr<Communicator>> make_local_communicators(int world_size) {
  check(world_size > 0, "there is at least one rank");
  const auto group = std::make_shared<Group>(world_size);
  std::vector<std::unique_ptr<Communicator>> communicators;
  for (int rank = 0; rank < world_size; ++rank) {
    communicators.push_back(std::make_unique<LocalCommunicator>(group, rank));
  }
  return communicators;
}

}  // namespace yolodist::comm
