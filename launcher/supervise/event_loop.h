// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <chrono>
#include <future>
#include <optional>
#include <vector>

#include "launcher/mpi/control_channel.h"
#include "launcher/mpi/host_collectives.h"
#include "launcher/supervise/failure.h"
#include "launcher/supervise/launcher_messages.h"
#include "launcher/supervise/peer_watch.h"
#include "launcher/supervise/sleep_rhythm.h"
#include "launcher/supervise/supervisor.h"
#include "launcher/supervise/worker_watch.h"

namespace yolodist::supervise {

// The one loop of an attempt. See supervisor.h for what it promises.
class EventLoop {
 public:
  EventLoop(mpi::Session& session, SignalQueue& signals, const Attempt& attempt, const Limits& limits);
  Outcome run();

 private:
  using Clock = std::chrono::steady_clock;

  // What comes in.
  void take_signals();
  void take_stop_requests();
  void ask_to_stop(const std::string& reason);
  void take_worker_messages();
  void take(const protocol::Hello& message);
  void take(const protocol::Resize& message);
  void take(const protocol::Collective& message);
  void take(const protocol::Progress& message);
  void take(const protocol::Sample& message);
  void take(const protocol::Failure& message);
  void take(const protocol::Done& message);
  void take_finished_collectives();
  void take_peer_messages();
  void take_worker_end();

  // What follows from it.
  void start_worker();
  void fail(run::FailureReport report);
  void write_report(const run::FailureReport& report);
  void wait_for_report() const;
  void end_worker();
  void notice_own_sleep();
  void keep_worker_deadlines();
  void keep_peer_deadlines();
  void announce_end(int exit_code, std::optional<run::FailureReport> report);
  bool all_ended() const;
  void start_missing_collectives();
  Outcome outcome() const;
  std::string named(const std::vector<int>& ranks) const;
  [[noreturn]] void give_up(const std::string& why, const std::vector<int>& silent);
  std::vector<int> not_ended() const;
  std::vector<run::FailureReport> reports() const;
  void sleep();

  mpi::Session& session_;
  SignalQueue& signals_;
  const Attempt& attempt_;
  const Limits limits_;
  mpi::HostCollectives collectives_;
  mpi::ControlChannel control_;
  WorkerRecord record_;
  WorkerWatch worker_watch_;
  PeerWatch peer_watch_;
  std::optional<workers::WorkerProcess> worker_;
  SleepRhythm rhythm_;

  bool signal_is_ready_ = true, socket_is_ready_ = true;  // by the last poll
  bool failing_ = false;                           // here or elsewhere: no new collectives, all workers end
  std::optional<run::FailureReport> own_failure_;  // of this rank
  std::vector<run::FailureReport> peer_failures_;
  std::future<void> report_written_;             // of own_failure_
  std::vector<std::optional<PeerEnded>> ended_;  // by rank
  StopRequest& stop_;
  bool collectives_complete_ = false;  // the missing ones have been started

  // Moments; nothing = not reached yet.
  Clock::time_point awake_at_ = Clock::now();       // the last turn of the loop
  std::optional<Clock::time_point> said_end_at_;    // done or failure message of the worker
  std::optional<Clock::time_point> terminated_at_;  // SIGTERM sent
  std::optional<Clock::time_point> failing_at_;
  std::optional<Clock::time_point> announced_at_;
};

}  // namespace yolodist::supervise
