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
  Collective collective;
  std::vector<MPI_Request> requests;
  MPI_Datatype large_type = MPI_DATATYPE_NULL;
  std::vector<std::byte> scratch;
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
  const Progress& progress = progress_[static_cast<size_t>(collective.channel)];
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
  check(collective.sequence == progress_[static_cast<size_t>(collective.channel)].started,
        "missing collectives are started in order");
  std::vector<std::byte> scratch(bytes_of(collective));
  std::byte* memory = scratch.data();
  start_now(collective, memory, std::move(scratch));
}

void HostCollectives::start_now(const Collective& collective, std::byte* memory,
                                std::vector<std::byte> scratch) {
  check(collective.count > 0, "a collective has data");
  const MPI_Comm communicator = session_.communicators().of(collective.channel);
  Running running;
  running.collective = collective;
  running.scratch = std::move(scratch);
  int count = static_cast<int>(std::min(collective.count, count_limit_));
  MPI_Datatype type = MPI_BYTE;
  if (collective.kind != CollectiveKind::all_reduce && collective.count > count_limit_) {
    running.large_type = type = make_large_type(collective.count, count_limit_);
    count = 1;
  }
  switch (collective.kind) {
    case CollectiveKind::all_reduce:
      for (int64_t begin = 0; begin < collective.count; begin += count_limit_) {
        count = static_cast<int>(std::min(collective.count - begin, count_limit_));
        check_mpi(MPI_Iallreduce(MPI_IN_PLACE,
                                 memory + static_cast<size_t>(begin) * protocol::size_of(collective.dtype),
                                 count, to_mpi(collective.dtype), to_mpi(collective.reduction), communicator,
                                 &running.requests.emplace_back(MPI_REQUEST_NULL)),
                  "MPI_Iallreduce");
      }
      break;
    case CollectiveKind::all_gather:
      check_mpi(MPI_Iallgather(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, memory, count, type, communicator,
                               &running.requests.emplace_back(MPI_REQUEST_NULL)),
                "MPI_Iallgather");
      break;
    case CollectiveKind::broadcast:
      check_mpi(MPI_Ibcast(memory, count, type, collective.root, communicator,
                           &running.requests.emplace_back(MPI_REQUEST_NULL)),
                "MPI_Ibcast");
      break;
  }
  Progress& progress = progress_[static_cast<size_t>(collective.channel)];
  progress.started = collective.sequence + 1;
  progress.recent.push_back(collective);
  running_.push_back(std::move(running));
}

std::vector<FinishedCollective> HostCollectives::test() {
  std::vector<FinishedCollective> finished;
  for (auto running = running_.begin(); running != running_.end();) {
    int done = 0;
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
    const Collective& collective = running->collective;
    finished.push_back({collective.channel, collective.sequence});
    // A reduction or gather that is complete has heard from every rank, so every rank has started everything
    // up to it. A broadcast has not: its root is done as soon as the data have left.
    if (collective.kind != CollectiveKind::broadcast) {
      std::vector<Collective>& recent = progress_[static_cast<size_t>(collective.channel)].recent;
      std::erase_if(recent, [&](const Collective& other) { return other.sequence <= collective.sequence; });
    }
    running = running_.erase(running);
  }
  return finished;
}

HostCollectives::Progress HostCollectives::progress(Channel channel) const {
  return progress_[static_cast<size_t>(channel)];
}

}  // namespace yolodist::mpi
