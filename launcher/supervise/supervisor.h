// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "common/run/failure_report.h"
#include "launcher/mpi/session.h"
#include "launcher/supervise/signals.h"
#include "launcher/workers/worker_process.h"

namespace yolodist::supervise {

// One attempt of this rank: its worker and what it is told.
struct Attempt {
  protocol::Start start;
  workers::WorkerCommand worker;
  std::string host;  // named in reports
};

// How long the launcher waits before it takes silence for the end.
struct Limits {
  std::chrono::seconds hello{300};             // start of the worker to its first message; none with a prefix
  // A worker that trains tells its memory once a second; no limit with a prefix.
  std::chrono::seconds silence{30};
  std::chrono::seconds exit_after_done{60};    // a worker that said it is about to end
  std::chrono::milliseconds kill_grace{2000};  // SIGTERM to SIGKILL
  std::chrono::seconds peers_end{10};          // after a failure: the other launchers, beyond kill_grace
  std::chrono::minutes peers_finish{30};       // after this worker finished in order: the others
};

// How the attempt ended; the same on every rank.
struct Outcome {
  int exit_code = 0;
  std::optional<run::FailureReport> report;  // that explains a failure best
  bool stop_was_asked = false;               // by a signal on some rank
};

// Runs the worker of this rank until the workers of all ranks have ended, and its collectives meanwhile.
// Collective. When it returns, nothing is under way in MPI: another attempt could follow. Does not return,
// but ends the job with abort(), when a peer does not answer in time or on the second SIGINT.
//
// Signals ask the worker to stop; the workers agree among themselves, save and end with state_saved.
Outcome supervise(mpi::Session& session, SignalQueue& signals, const Attempt& attempt,
                  const Limits& limits = {});

}  // namespace yolodist::supervise
