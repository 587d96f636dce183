// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/mpi/roll_call.h"

#include <sched.h>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <thread>

#include "common/base/error.h"
#include "common/base/text.h"
#include "launcher/mpi/communicators.h"
#include "launcher/mpi/host_collectives.h"

namespace yolodist::mpi {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

enum Tag { answer_tag = 101, all_here_tag, ping_tag, pong_tag, load_tag };

// Rank 0 speaks of silent ranks; only if it is silent itself the next one does, and so on.
constexpr std::chrono::milliseconds turn = 2s;

Deadline deadline_of(const Session& session, const Patience& patience) {
  return Deadline::after(patience.limit + (session.rank() == 0 ? 0ms : turn + turn * session.rank()));
}

std::string name_of(const Patience& patience, int rank) {
  const auto index = static_cast<size_t>(rank);
  return index < patience.names.size() ? patience.names[index] : cat("rank ", rank);
}

[[noreturn]] void report_silent(const Patience& patience, const std::vector<int>& ranks) {
  std::vector<std::string> names;
  for (const int rank : ranks) {
    names.push_back(name_of(patience, rank));
  }
  throw PeerLost(
      cat(join(names, ", "), names.size() == 1 ? " does" : " do", " not answer within ",
          std::chrono::duration_cast<std::chrono::seconds>(patience.limit).count(), " s: ", patience.what),
      "Look at that host: a stopped process, a file system that hangs, or a cut link.");
}

// Looks often at first, so that short waits are measured well, then sleeps.
class Pauses {
 public:
  void pause() {
    if (Clock::now() - begin_ < 2ms) {
      sched_yield();
      return;
    }
    std::this_thread::sleep_for(sleep_);
    sleep_ = std::min(2 * sleep_, longest);
  }

 private:
  static constexpr std::chrono::microseconds longest{1000};
  Clock::time_point begin_ = Clock::now();
  std::chrono::microseconds sleep_{50};
};

// False when the deadline comes first; then the memory of `request` has to live on: only abort() is left.
bool wait_for(MPI_Request& request, const Deadline& deadline) {
  Pauses pauses;
  while (true) {
    int done = 0;
    check_mpi(MPI_Test(&request, &done, MPI_STATUS_IGNORE), "MPI_Test");
    if (done != 0) {
      return true;
    }
    if (deadline.has_passed()) {
      return false;
    }
    pauses.pause();
  }
}

// The memory of transfers that may never end: it is given back after the last one only, so that MPI never
// writes into what belongs to others again.
struct Memory {
  std::string text;
  double clock_seconds = 0;
  std::vector<std::byte> load;
  std::vector<float> values;
};

class Peer {
 public:
  Peer(Session& session, int rank, const Deadline& deadline, const Patience& patience)
      : communicator_(session.communicators().control),
        rank_(rank),
        deadline_(deadline),
        patience_(patience) {}
  void send(const void* data, int64_t bytes, int tag) const {
    MPI_Request request = MPI_REQUEST_NULL;
    check_mpi(MPI_Isend(data, static_cast<int>(bytes), MPI_BYTE, rank_, tag, communicator_, &request),
              "MPI_Isend");
    finish(request);
  }
  void receive(void* data, int64_t bytes, int tag) const {
    MPI_Request request = MPI_REQUEST_NULL;
    check_mpi(MPI_Irecv(data, static_cast<int>(bytes), MPI_BYTE, rank_, tag, communicator_, &request),
              "MPI_Irecv");
    finish(request);
  }

 private:
  void finish(MPI_Request& request) const {
    if (!wait_for(request, deadline_)) {
      report_silent(patience_, {rank_});
    }
  }
  MPI_Comm communicator_;
  int rank_;
  const Deadline& deadline_;
  const Patience& patience_;
};

double wall_seconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}
double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

constexpr int ping_count = 8, load_count = 3;

PeerLink measure(const Peer& peer, Memory& memory) {
  PeerLink link;
  link.round_trip_seconds = std::numeric_limits<double>::max();
  for (int i = 0; i < ping_count; ++i) {
    const double sent = wall_seconds();
    const Clock::time_point begin = Clock::now();
    peer.send(nullptr, 0, ping_tag);
    peer.receive(&memory.clock_seconds, sizeof memory.clock_seconds, pong_tag);
    const double seconds = seconds_since(begin);
    if (seconds < link.round_trip_seconds) {
      link.round_trip_seconds = seconds;
      link.clock_ahead_seconds = memory.clock_seconds - (sent + seconds / 2);
    }
  }
  for (int i = 0; i < load_count; ++i) {
    const Clock::time_point begin = Clock::now();
    peer.send(memory.load.data(), link_bytes, load_tag);
    peer.receive(memory.load.data(), link_bytes, load_tag);
    link.bytes_per_second =
        std::max(link.bytes_per_second, 2.0 * static_cast<double>(link_bytes) / seconds_since(begin));
  }
  return link;
}

void answer(const Peer& leader, Memory& memory) {
  for (int i = 0; i < ping_count; ++i) {
    leader.receive(nullptr, 0, ping_tag);
    memory.clock_seconds = wall_seconds();
    leader.send(&memory.clock_seconds, sizeof memory.clock_seconds, pong_tag);
  }
  for (int i = 0; i < load_count; ++i) {
    leader.receive(memory.load.data(), link_bytes, load_tag);
    leader.send(memory.load.data(), link_bytes, load_tag);
  }
}

std::vector<std::string> gather_at_leader(Session& session, const std::string& mine, const Patience& patience,
                                          const Deadline& deadline) {
  const MPI_Comm communicator = session.communicators().control;
  std::vector<std::string> texts(static_cast<size_t>(session.size()));
  std::vector<bool> is_here(texts.size());
  texts[0] = mine;
  is_here[0] = true;
  size_t missing = texts.size() - 1;
  Pauses pauses;
  while (missing > 0) {
    int found = 0;
    MPI_Status status;
    check_mpi(MPI_Iprobe(MPI_ANY_SOURCE, answer_tag, communicator, &found, &status), "MPI_Iprobe");
    if (found != 0) {
      int bytes = 0;
      MPI_Get_count(&status, MPI_BYTE, &bytes);
      const auto rank = static_cast<size_t>(status.MPI_SOURCE);
      texts[rank].resize(static_cast<size_t>(bytes));
      Peer(session, status.MPI_SOURCE, deadline, patience).receive(texts[rank].data(), bytes, answer_tag);
      is_here[rank] = true;
      --missing;
      continue;
    }
    if (deadline.has_passed()) {
      std::vector<int> silent;
      for (size_t rank = 0; rank < texts.size(); ++rank) {
        if (!is_here[rank]) {
          silent.push_back(static_cast<int>(rank));
        }
      }
      report_silent(patience, silent);
    }
    pauses.pause();
  }
  return texts;
}

}  // namespace

std::vector<std::string> call_roll(Session& session, const std::string& mine, const Patience& patience) {
  const Deadline deadline = deadline_of(session, patience);
  if (session.rank() == 0) {
    std::vector<std::string> texts = gather_at_leader(session, mine, patience, deadline);
    for (int rank = 1; rank < session.size(); ++rank) {
      Peer(session, rank, deadline, patience).send(nullptr, 0, all_here_tag);
    }
    return texts;
  }
  const Peer leader(session, 0, deadline, patience);
  auto* memory = new Memory;
  memory->text = mine;
  leader.send(memory->text.data(), static_cast<int64_t>(mine.size()), answer_tag);
  leader.receive(nullptr, 0, all_here_tag);
  delete memory;
  return {};
}

std::vector<PeerLink> measure_links(Session& session, const Patience& patience) {
  auto* memory = new Memory;
  memory->load.resize(static_cast<size_t>(link_bytes));
  std::vector<PeerLink> links;
  if (session.rank() == 0) {
    links.resize(static_cast<size_t>(session.size()));
    for (int rank = 1; rank < session.size(); ++rank) {
      const Deadline deadline = Deadline::after(patience.limit);
      links[static_cast<size_t>(rank)] = measure(Peer(session, rank, deadline, patience), *memory);
    }
    const Deadline deadline = Deadline::after(patience.limit);
    for (int rank = 1; rank < session.size(); ++rank) {
      Peer(session, rank, deadline, patience).send(nullptr, 0, all_here_tag);
    }
  } else {
    // The others may each take as long as they are given. All leave together, so that what follows begins
    // for all at the same time.
    const Deadline deadline = Deadline::after((patience.limit + turn) * (session.size() + 1));
    const Peer leader(session, 0, deadline, patience);
    answer(leader, *memory);
    leader.receive(nullptr, 0, all_here_tag);
  }
  delete memory;
  return links;
}

double measure_all_reduce(Session& session, int64_t bytes, const Patience& patience) {
  constexpr int rounds = 4;
  const int64_t count = bytes / static_cast<int64_t>(sizeof(float));
  auto* memory = new Memory;
  memory->values.assign(static_cast<size_t>(count), 1.0F);
  auto* collectives = new HostCollectives(session);
  double best = std::numeric_limits<double>::max();
  const Deadline deadline = Deadline::after(patience.limit);
  for (int round = 0; round < rounds; ++round) {
    protocol::Collective collective;
    collective.channel = protocol::Channel::gradients;
    collective.sequence = round;
    collective.count = count;
    collective.dtype = protocol::Dtype::f32;
    const Clock::time_point begin = Clock::now();
    collectives->start(collective, reinterpret_cast<std::byte*>(memory->values.data()));
    Pauses pauses;
    while (collectives->test().empty()) {
      if (deadline.has_passed()) {
        // Who is still there says so, and the others are known.
        Patience silence = patience;
        silence.limit = turn;
        call_roll(session, "", silence);
        throw PeerLost(cat(patience.what, ": it does not end within ",
                           std::chrono::duration_cast<std::chrono::seconds>(patience.limit).count(),
                           " s, though all ranks answer"),
                       "The network between the hosts is too slow, or blocked for large messages.");
      }
      if (collectives->is_moving()) {
        sched_yield();
      } else {
        pauses.pause();
      }
    }
    if (round > 0) {
      best = std::min(best, seconds_since(begin));
    }
  }
  delete collectives;
  delete memory;
  return best;
}

}  // namespace yolodist::mpi
