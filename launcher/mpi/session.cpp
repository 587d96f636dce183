// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/mpi/session.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <thread>
#include <utility>

#include "common/base/error.h"
#include "common/base/exit_code.h"
#include "common/base/text.h"
#include "launcher/mpi/communicators.h"
#include "launcher/mpi/starter.h"

namespace yolodist::mpi {
namespace {

// mpirun usually ends within three seconds after the ranks.
constexpr std::chrono::seconds starter_grace{15};

// Ends the process when a blocking MPI call takes too long; the starter (mpirun, srun) then ends the other
// ranks.
class EndTimer {
 public:
  EndTimer(std::chrono::seconds limit, const char* what)
      : thread_([this, limit, what] {
          std::unique_lock lock(mutex_);
          if (!done_.wait_for(lock, limit, [this] { return is_done_; })) {
            std::fprintf(stderr, "yolodist: %s did not end within %lld s: a peer is gone. Ending.\n", what,
                         static_cast<long long>(limit.count()));
            end_starter_after(starter_grace);
            _exit(to_int(ExitCode::peer_lost));
          }
        }) {}
  ~EndTimer() {
    {
      const std::lock_guard lock(mutex_);
      is_done_ = true;
    }
    done_.notify_all();
    thread_.join();
  }
  EndTimer(const EndTimer&) = delete;
  EndTimer& operator=(const EndTimer&) = delete;

 private:
  std::mutex mutex_;
  std::condition_variable done_;
  bool is_done_ = false;
  std::thread thread_;  // last: it uses the others
};

void wait_sleeping(MPI_Request& request, Deadline deadline, const std::string& what) {
  constexpr std::chrono::microseconds first_sleep{50}, longest_sleep{1000};
  std::chrono::microseconds sleep = first_sleep;
  while (true) {
    int done = 0;
    check_mpi(MPI_Test(&request, &done, MPI_STATUS_IGNORE), "MPI_Test");
    if (done != 0) {
      return;
    }
    if (deadline.has_passed()) {
      throw PeerLost(
          cat(what, ": not all ranks answered in time"),
          "Look at the other ranks' output; a rank may be stuck in a file system or on a cut link.");
    }
    std::this_thread::sleep_for(sleep);
    sleep = std::min(2 * sleep, longest_sleep);
  }
}

// Receives all that others have sent on `communicator` and nobody took, a beat for example: MPICH ends the
// job when a communicator is freed with a message in it. A last message to each rank, behind all others, says
// that no more come. Collective; what guards it is the caller's timer.
void take_what_is_left(MPI_Comm communicator, int rank, int size) {
  constexpr int last_tag = 2;  // of the control channel: 1
  constexpr std::chrono::microseconds sleep{50};
  std::vector<MPI_Request> sends;
  for (int other = 0; other < size; ++other) {
    if (other != rank) {
      MPI_Isend(nullptr, 0, MPI_BYTE, other, last_tag, communicator, &sends.emplace_back(MPI_REQUEST_NULL));
    }
  }
  for (int open = size - 1; open > 0;) {
    int found = 0;
    MPI_Message message = MPI_MESSAGE_NULL;
    MPI_Status status;
    MPI_Improbe(MPI_ANY_SOURCE, MPI_ANY_TAG, communicator, &found, &message, &status);
    if (found == 0) {
      std::this_thread::sleep_for(sleep);
      continue;
    }
    int bytes = 0;
    MPI_Get_count(&status, MPI_BYTE, &bytes);
    std::string text(static_cast<size_t>(bytes), '\0');
    MPI_Mrecv(text.data(), bytes, MPI_BYTE, &message, MPI_STATUS_IGNORE);
    open -= status.MPI_TAG == last_tag ? 1 : 0;
  }
  MPI_Waitall(static_cast<int>(sends.size()), sends.data(), MPI_STATUSES_IGNORE);
}

}  // namespace

void check_mpi(int result, const char* call) {
  if (result == MPI_SUCCESS) {
    return;
  }
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  MPI_Error_string(result, text.data(), &length);
  throw InternalError(cat(call, " failed: ", std::string(text.data(), static_cast<size_t>(length))));
}

Session::Session(std::chrono::seconds limit) : communicators_(std::make_unique<Communicators>()) {
  const EndTimer timer(limit, "the start of MPI");
  int provided = 0;
  MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
  MPI_Comm_size(MPI_COMM_WORLD, &size_);
  for (MPI_Comm* communicator : communicators_->all()) {
    MPI_Comm_dup(MPI_COMM_WORLD, communicator);
    MPI_Comm_set_errhandler(*communicator, MPI_ERRORS_RETURN);
  }
  MPI_Comm node = MPI_COMM_NULL;
  MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &node);
  MPI_Comm_rank(node, &local_rank_);
  MPI_Comm_size(node, &local_size_);
  node_ = rank_;
  MPI_Bcast(&node_, 1, MPI_INT, 0, node);
  MPI_Comm_free(&node);
}

Session::~Session() {
  if (!ended_) {
    MPI_Abort(MPI_COMM_WORLD, to_int(ExitCode::internal));
  }
}

void Session::finalize(std::chrono::seconds limit) {
  const EndTimer timer(limit, "the end of MPI");
  take_what_is_left(communicators_->control, rank_, size_);
  for (MPI_Comm* communicator : communicators_->all()) {
    MPI_Comm_free(communicator);
  }
  MPI_Finalize();
  ended_ = true;
}

void Session::abort(int exit_code) {
  end_starter_after(starter_grace);
  MPI_Abort(MPI_COMM_WORLD, exit_code);
  _exit(exit_code);
}

std::string broadcast_text(Session& session, std::string text, int root, Deadline deadline,
                           const std::string& what) {
  const MPI_Comm communicator = session.communicators().small;
  auto length = static_cast<int64_t>(text.size());
  MPI_Request request = MPI_REQUEST_NULL;
  check_mpi(MPI_Ibcast(&length, 1, MPI_INT64_T, root, communicator, &request), "MPI_Ibcast");
  wait_sleeping(request, deadline, what);
  text.resize(static_cast<size_t>(length));
  check_mpi(MPI_Ibcast(text.data(), static_cast<int>(length), MPI_BYTE, root, communicator, &request),
            "MPI_Ibcast");
  wait_sleeping(request, deadline, what);
  return text;
}

std::vector<std::string> all_gather_texts(Session& session, const std::string& mine, Deadline deadline,
                                          const std::string& what) {
  const MPI_Comm communicator = session.communicators().small;
  const auto ranks = static_cast<size_t>(session.size());
  const int length = static_cast<int>(mine.size());
  std::vector<int> lengths(ranks), begins(ranks);
  MPI_Request request = MPI_REQUEST_NULL;
  check_mpi(MPI_Iallgather(&length, 1, MPI_INT, lengths.data(), 1, MPI_INT, communicator, &request),
            "MPI_Iallgather");
  wait_sleeping(request, deadline, what);
  int total = 0;
  for (size_t i = 0; i < ranks; ++i) {
    begins[i] = total;
    total += lengths[i];
  }
  std::string gathered(static_cast<size_t>(total), '\0');
  check_mpi(MPI_Iallgatherv(mine.data(), length, MPI_BYTE, gathered.data(), lengths.data(), begins.data(),
                            MPI_BYTE, communicator, &request),
            "MPI_Iallgatherv");
  wait_sleeping(request, deadline, what);
  std::vector<std::string> texts;
  for (size_t i = 0; i < ranks; ++i) {
    texts.push_back(gathered.substr(static_cast<size_t>(begins[i]), static_cast<size_t>(lengths[i])));
  }
  return texts;
}

void barrier(Session& session, Deadline deadline, const std::string& what) {
  MPI_Request request = MPI_REQUEST_NULL;
  check_mpi(MPI_Ibarrier(session.communicators().small, &request), "MPI_Ibarrier");
  wait_sleeping(request, deadline, what);
}

}  // namespace yolodist::mpi
