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
  enum class Stage { arriving, arrived, moving };
  Collective collective;
  std::byte* memory = nullptr;
  std::vector<std::byte> scratch;
  Stage stage = Stage::arriving;
  bool has_barrier = true;
  MPI_Request arrival = MPI_REQUEST_NULL;
  std::vector<MPI_Request> requests;
  MPI_Datatype large_type = MPI_DATATYPE_NULL;
};

HostCollectives::HostCollectives(Session& session, int64_t count_limit)
    : session_(session), count_limit_(count_limit) {}

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
    running.stage = Running::Stage::arrived;
  } else {
    check_mpi(MPI_Ibarrier(session_.communicators().arrival_of(collective.channel), &running.arrival),
              "MPI_Ibarrier");
  }
  Lane& lane = this->lane(collective.channel);
  lane.progress.started = collective.sequence + 1;
  lane.progress.recent.push_back(collective);
  lane.running.push_back(std::move(running));
}

void HostCollectives::move_data(Running& running) {
  const Collective& collective = running.collective;
  const MPI_Comm communicator = session_.communicators().of(collective.channel);
  int count = static_cast<int>(std::min(collective.count, count_limit_));
  MPI_Datatype type = MPI_BYTE;
  if (collective.kind != CollectiveKind::all_reduce && collective.count > count_limit_) {
    running.large_type = type = make_large_type(collective.count, count_limit_);
    count = 1;
  }
  running.stage = Running::Stage::moving;
  switch (collective.kind) {
    case CollectiveKind::all_reduce: {
      const size_t element_bytes = protocol::size_of(collective.dtype);
      const int64_t lim = getenv("YD_SEG") ? atol(getenv("YD_SEG")) / (int64_t)element_bytes : count_limit_;
      for (int64_t begin = 0; begin < collective.count; begin += lim) {
        count = static_cast<int>(std::min(collective.count - begin, lim));
        check_mpi(MPI_Iallreduce(MPI_IN_PLACE, running.memory + static_cast<size_t>(begin) * element_bytes,
                                 count, to_mpi(collective.dtype), to_mpi(collective.reduction), communicator,
                                 &running.requests.emplace_back(MPI_REQUEST_NULL)),
                  "MPI_Iallreduce");
      }
      break;
    }
    case CollectiveKind::all_gather:
      check_mpi(MPI_Iallgather(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, running.memory, count, type, communicator,
                               &running.requests.emplace_back(MPI_REQUEST_NULL)),
                "MPI_Iallgather");
      break;
    case CollectiveKind::broadcast:
      check_mpi(MPI_Ibcast(running.memory, count, type, collective.root, communicator,
                           &running.requests.emplace_back(MPI_REQUEST_NULL)),
                "MPI_Ibcast");
      break;
  }
}

void HostCollectives::test_lane(Lane& lane, std::vector<FinishedCollective>& finished) {
  bool may_move = true;  // all before it do: data move in the order of the sequence on every rank
  for (auto running = lane.running.begin(); running != lane.running.end();) {
    const Collective& collective = running->collective;
    int done = 0;
    if (running->stage == Running::Stage::arriving) {
      check_mpi(MPI_Test(&running->arrival, &done, MPI_STATUS_IGNORE), "MPI_Test");
      running->stage = done != 0 ? Running::Stage::arrived : running->stage;
    }
    if (running->stage == Running::Stage::arrived && may_move) {
      move_data(*running);
    }
    may_move = running->stage == Running::Stage::moving;
    if (!may_move) {
      // What follows has come later on every rank; looking at it now would change nothing.
      return;
    }
    check_mpi(MPI_Testall(static_cast<int>(running->requests.size()), running->requests.data(), &done,
                          MPI_STATUSES_IGNORE),
              "MPI_Testall");
    if (done == 0) {
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
