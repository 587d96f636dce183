// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "common/run/failure_report.h"
#include "launcher/mpi/session.h"
#include "launcher/supervise/run_watch.h"
#include "launcher/supervise/signals.h"
#include "launcher/supervise/time_limit.h"
#include "launcher/workers/worker_process.h"

namespace yolodist::supervise {

// What has been asked of this rank; kept from one attempt to the next.
struct StopRequest {
  std::string reason;  // the last one: "SIGUSR1"; "" = none
  int interrupts = 0;  // SIGINT
};

// One attempt of this rank: its worker and what it is told.
struct Attempt {
  protocol::Start start;
  workers::WorkerCommand worker;
  std::vector<std::string> hosts;  // by rank, named in reports
  // What may ask to stop beside signals; on rank 0 of a training, else nullptr. They outlive the attempt.
  RunWatch* run_watch = nullptr;
  const TimeLimit* time_limit = nullptr;
  StopRequest* stop = nullptr;  // on every rank
};

// How long the launcher waits before it takes silence for the end.
struct Limits {
  std::chrono::seconds hello{300};  // start of the worker to its first message; none with a prefix
  // A worker that trains tells its memory once a second; no limit with a prefix.
  std::chrono::seconds silence{30};
  // A worker that nobody keeps waiting, but that finishes nothing: in a step (or ten times the longest one so
  // far), in the first step, elsewhere (reading the data set, validation).
  std::chrono::seconds stuck_step{60};
  std::chrono::minutes stuck_first_step{10};
  std::chrono::minutes stuck_elsewhere{30};
  std::chrono::seconds peer_silence{30};       // another launcher: its host is dead or cut off
  std::chrono::seconds exit_after_done{60};    // a worker that said it is about to end
  std::chrono::milliseconds kill_grace{2000};  // SIGTERM to SIGKILL
  std::chrono::seconds report{5};              // for its failure report to be on the disk
  std::chrono::seconds peers_end{10};          // after a failure: the other launchers, beyond kill_grace
  std::chrono::minutes peers_finish{30};       // after this worker finished in order: the others
};

// How the attempt ended; the same on every rank.
struct Outcome {
  int exit_code = 0;
  std::optional<run::FailureReport> report;  // that explains a failure best
  bool stop_was_asked = false;               // by a signal on some rank, a time limit, yolodist stop
};

// Runs the worker of this rank until the workers of all ranks have ended, and its collectives meanwhile.
// Collective. When it returns, nothing is under way in MPI: another attempt could follow. Does not return,
// but ends the job with abort(), when a peer does not answer in time or on the second SIGINT.
//
// Signals ask the worker to stop; the workers agree among themselves, save and end with state_saved.
Outcome supervise(mpi::Session& session, SignalQueue& signals, const Attempt& attempt,
                  const Limits& limits = {});

}  // namespace yolodist::supervise
