// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/mpi/host_collectives.h"

#include <algorithm>
#include <array>

#include "common/base/error.h"
#include "common/base/text.h"
#include "launcher/mpi/communicators.h"

namespace yolodist::mpi {
namespace {

// Below it MPI sends a message at once, without asking the receiver first.
constexpr size_t largest_single_exchange_bytes = 2048;

using protocol::Channel;
using protocol::Collective;
using protocol::CollectiveKind;

MPI_Datatype to_mpi(protocol::Dtype dtype) {
  switch (dtype) {
    case protocol::Dtype::f32:
      return MPI_FLOAT;
    case protocol::Dtype::f64:
      return MPI_DOUBLE;
    case protocol::Dtype::i64:
      return MPI_INT64_T;
    case protocol::Dtype::bytes:
      return MPI_BYTE;
  }
  return MPI_BYTE;
}

MPI_Op to_mpi(protocol::Reduction reduction) {
  switch (reduction) {
    case protocol::Reduction::sum:
      return MPI_SUM;
    case protocol::Reduction::max:
      return MPI_MAX;
    case protocol::Reduction::min:
      return MPI_MIN;
  }
  return MPI_SUM;
}

// A type of `bytes` bytes, for counts beyond int: whole blocks of `limit` bytes and a rest. To be freed.
MPI_Datatype make_large_type(int64_t bytes, int64_t limit) {
  MPI_Datatype block = MPI_DATATYPE_NULL, type = MPI_DATATYPE_NULL;
  check_mpi(MPI_Type_contiguous(static_cast<int>(limit), MPI_BYTE, &block), "MPI_Type_contiguous");
  std::array<int, 2> lengths = {static_cast<int>(bytes / limit), static_cast<int>(bytes % limit)};
  std::array<MPI_Aint, 2> begins = {0, static_cast<MPI_Aint>(bytes / limit * limit)};
  std::array<MPI_Datatype, 2> types = {block, MPI_BYTE};
  check_mpi(MPI_Type_create_struct(2, lengths.data(), begins.data(), types.data(), &type),
            "MPI_Type_create_struct");
  check_mpi(MPI_Type_commit(&type), "MPI_Type_commit");
  MPI_Type_free(&block);
  return type;
}

}  // namespace

struct HostCollectives::Running {
  enum class Stage { arriving, moving };
  Collective collective;
  std::byte* memory = nullptr;
  std::vector<std::byte> scratch;
  Stage stage = Stage::arriving;
  bool has_barrier = true;
  MPI_Request arrival = MPI_REQUEST_NULL;
  int64_t started_count = 0;          // elements (gather: all or none) whose segments have started
  std::vector<MPI_Request> requests;  // of segments under way
  MPI_Datatype large_type = MPI_DATATYPE_NULL;
};

HostCollectives::HostCollectives(Session& session, const Cuts& cuts) : session_(session), cuts_(cuts) {}

HostCollectives::~HostCollectives() = default;

size_t HostCollectives::bytes_of(const Collective& collective) const {
  const auto count = static_cast<size_t>(collective.count);
  switch (collective.kind) {
    case CollectiveKind::all_reduce:
      return count * protocol::size_of(collective.dtype);
    case CollectiveKind::all_gather:
      return count * static_cast<size_t>(session_.size());
    case CollectiveKind::broadcast:
      return count;
  }
  return count;
}

void HostCollectives::start(const Collective& collective, std::byte* memory) {
  const Progress& progress = lane(collective.channel).progress;
  const std::pair key(collective.channel, collective.sequence);
  if (collective.sequence < progress.started || early_.contains(key)) {
    throw InternalError(cat("collective ", collective.sequence, " of channel ", name_of(collective.channel),
                            " was started twice"));
  }
  if (collective.sequence > progress.started) {
    early_.emplace(key, std::pair(collective, memory));
    return;
  }
  start_now(collective, memory, {});
  for (auto next = early_.find({collective.channel, progress.started}); next != early_.end();
       next = early_.find({collective.channel, progress.started})) {
    start_now(next->second.first, next->second.second, {});
    early_.erase(next);
  }
}

void HostCollectives::start_on_scratch(const Collective& collective) {
  check(collective.sequence == lane(collective.channel).progress.started,
        "missing collectives are started in order");
  std::vector<std::byte> scratch(bytes_of(collective));
  std::byte* memory = scratch.data();
  start_now(collective, memory, std::move(scratch));
}

void HostCollectives::start_now(const Collective& collective, std::byte* memory,
                                std::vector<std::byte> scratch) {
  check(collective.count > 0, "a collective has data");
  Running running;
  running.collective = collective;
  running.memory = memory;
  running.scratch = std::move(scratch);
  // Between two ranks a small reduction or gather is a single exchange, itself as quick as the barrier.
  if (session_.size() <= 2 && bytes_of(collective) <= largest_single_exchange_bytes &&
      collective.kind != CollectiveKind::broadcast) {
    running.has_barrier = false;
    running.stage = Running::Stage::moving;
  } else {
    check_mpi(MPI_Ibarrier(session_.communicators().arrival_of(collective.channel), &running.arrival),
              "MPI_Ibarrier");
  }
  Lane& lane = this->lane(collective.channel);
  lane.progress.started = collective.sequence + 1;
  lane.progress.recent.push_back(collective);
  lane.running.push_back(std::move(running));
}

void HostCollectives::start_segment(Running& running) {
  const Collective& collective = running.collective;
  const MPI_Comm communicator = session_.communicators().of(collective.channel);
  MPI_Request& request = running.requests.emplace_back(MPI_REQUEST_NULL);
  if (collective.kind == CollectiveKind::all_gather) {
    int count = static_cast<int>(collective.count);
    MPI_Datatype type = MPI_BYTE;
    if (collective.count > cuts_.largest_gather_bytes) {
      running.large_type = type = make_large_type(collective.count, cuts_.largest_gather_bytes);
      count = 1;
    }
    check_mpi(MPI_Iallgather(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, running.memory, count, type, communicator,
                             &request),
              "MPI_Iallgather");
    running.started_count = collective.count;
    return;
  }
  const bool reduces = collective.kind == CollectiveKind::all_reduce;
  const auto element_bytes = static_cast<int64_t>(reduces ? protocol::size_of(collective.dtype) : 1);
  const int64_t left = collective.count - running.started_count;
  const int count =
      static_cast<int>(std::min(left, std::max<int64_t>(1, cuts_.segment_bytes / element_bytes)));
  std::byte* memory = running.memory + running.started_count * element_bytes;
  if (reduces) {
    check_mpi(MPI_Iallreduce(MPI_IN_PLACE, memory, count, to_mpi(collective.dtype),
                             to_mpi(collective.reduction), communicator, &request),
              "MPI_Iallreduce");
  } else {
    check_mpi(MPI_Ibcast(memory, count, MPI_BYTE, collective.root, communicator, &request), "MPI_Ibcast");
  }
  running.started_count += count;
}

void HostCollectives::finish_segments(Lane& lane, Running& running) {
  const int outstanding = static_cast<int>(running.requests.size());
  if (outstanding == 0) {
    return;
  }
  std::vector<int> indices(running.requests.size());
  int done = 0;
  check_mpi(MPI_Testsome(outstanding, running.requests.data(), &done, indices.data(), MPI_STATUSES_IGNORE),
            "MPI_Testsome");
  if (done > 0) {
    std::erase(running.requests, MPI_REQUEST_NULL);
    lane.segment_count -= done;
    event_count_ += done;
  }
}

void HostCollectives::test_lane(Lane& lane, std::vector<FinishedCollective>& finished) {
  for (auto running = lane.running.begin(); running != lane.running.end();) {
    const Collective& collective = running->collective;
    if (running->stage == Running::Stage::arriving) {
      int done = 0;
      check_mpi(MPI_Test(&running->arrival, &done, MPI_STATUS_IGNORE), "MPI_Test");
      if (done == 0) {
        return;  // what follows comes later on every rank: looking at it would change nothing
      }
    }
    running->stage = Running::Stage::moving;
    finish_segments(lane, *running);
    while (running->started_count < collective.count && lane.segment_count < cuts_.most_segments) {
      start_segment(*running);
      ++lane.segment_count;
      ++event_count_;
    }
    if (running->started_count < collective.count) {
      return;  // segments start in one order on every rank: those of the next collective after all of this
               // one
    }
    if (!running->requests.empty()) {
      ++running;
      continue;
    }
    if (running->large_type != MPI_DATATYPE_NULL) {
      MPI_Type_free(&running->large_type);
    }
    finished.push_back({collective.channel, collective.sequence});
    // It had its barrier, or data of all ranks: everyone has started everything up to it.
    std::erase_if(lane.progress.recent,
                  [&](const Collective& other) { return other.sequence <= collective.sequence; });
    running = lane.running.erase(running);
  }
}

std::vector<FinishedCollective> HostCollectives::test() {
  std::vector<FinishedCollective> finished;
  for (Lane& lane : lanes_) {
    test_lane(lane, finished);
  }
  return finished;
}

bool HostCollectives::is_busy() const {
  return std::any_of(lanes_.begin(), lanes_.end(), [](const Lane& lane) { return !lane.running.empty(); });
}

bool HostCollectives::is_moving() const {
  return std::any_of(lanes_.begin(), lanes_.end(), [](const Lane& lane) {
    return !lane.running.empty() && lane.running.front().has_barrier &&
           lane.running.front().stage == Running::Stage::moving;
  });
}

HostCollectives::Progress HostCollectives::progress(Channel channel) const {
  return lanes_[static_cast<size_t>(channel)].progress;
}

}  // namespace yolodist::mpi
