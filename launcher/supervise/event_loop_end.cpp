// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
// How an attempt ends: in order, after a failure here or elsewhere, or without the others.
#include <algorithm>
#include <csignal>
#include <thread>
#include <utility>

#include "common/base/log.h"
#include "common/base/text.h"
#include "common/run/run_directory.h"
#include "launcher/supervise/event_loop.h"

namespace yolodist::supervise {

void EventLoop::fail(run::FailureReport report) {
  const bool is_first = !own_failure_;
  if (is_first) {
    own_failure_ = std::move(report);
    control_.send_to_others(encode(record_.attempt, PeerFailed{*own_failure_}));
  }
  end_worker();
  if (is_first && (attempt_.run_watch == nullptr || !attempt_.run_watch->is_taken_over())) {
    write_report(*own_failure_);
  }
}

// On a thread that nobody waits for: a file system that does not answer may be what has failed.
void EventLoop::write_report(const run::FailureReport& report) {
  const run::RunDirectory directory{attempt_.start.run_directory};
  std::packaged_task<void()> task([directory, report] {
    try {
      run::write_failure_report(directory.failure_report(report.attempt, report.rank), report);
    } catch (const Error& error) {
      log::warning(cat("the failure report could not be written: ", error.what()));
    }
  });
  report_written_ = task.get_future();
  std::thread(std::move(task)).detach();
}

// Also when the failure is elsewhere.
void EventLoop::end_worker() {
  failing_ = true;
  if (!failing_at_) {
    failing_at_ = Clock::now();
  }
  // A worker that is about to end by itself gets the same grace, but no signal.
  if (worker_ && !worker_->end() && !terminated_at_) {
    terminated_at_ = Clock::now();
    if (!record_.own_report) {
      worker_->signal(SIGTERM);
    }
  }
}

void EventLoop::announce_end(int exit_code, std::optional<run::FailureReport> report) {
  PeerEnded message;
  message.exit_code = exit_code;
  message.stop_was_asked = !stop_.reason.empty();
  message.report = std::move(report);
  for (size_t i = 0; i < message.channels.size(); ++i) {
    message.channels[i] = collectives_.progress(static_cast<protocol::Channel>(i));
  }
  control_.send_to_others(encode(record_.attempt, message));
  ended_[static_cast<size_t>(session_.rank())] = std::move(message);
  announced_at_ = Clock::now();
}

bool EventLoop::all_ended() const {
  return std::all_of(ended_.begin(), ended_.end(), [](const auto& ended) { return ended.has_value(); });
}

void EventLoop::start_missing_collectives() {
  if (std::exchange(collectives_complete_, true)) {
    return;
  }
  for (size_t i = 0; i < protocol::channel_count; ++i) {
    int64_t here = collectives_.progress(static_cast<protocol::Channel>(i)).started;
    const auto furthest = std::max_element(ended_.begin(), ended_.end(), [i](const auto& a, const auto& b) {
      return a->channels[i].started < b->channels[i].started;
    });
    for (const protocol::Collective& collective : (*furthest)->channels[i].recent) {
      if (collective.sequence == here) {
        collectives_.start_on_scratch(collective);
        ++here;
      }
    }
    if (here != (*furthest)->channels[i].started) {
      give_up("the ranks have started too different collectives to end them in order", {});
    }
  }
}

std::vector<run::FailureReport> EventLoop::reports() const {
  std::vector<run::FailureReport> reports = peer_failures_;
  if (own_failure_) {
    reports.push_back(*own_failure_);
  }
  for (const std::optional<PeerEnded>& ended : ended_) {
    if (ended && ended->report) {
      reports.push_back(*ended->report);
    }
  }
  return reports;
}

Outcome EventLoop::outcome() const {
  wait_for_report();
  const bool stop_was_asked =
      std::any_of(ended_.begin(), ended_.end(), [](const auto& ended) { return ended->stop_was_asked; });
  const std::vector<run::FailureReport> failures = reports();
  if (const run::FailureReport* report = run::earliest_most_specific(failures)) {
    return {report->exit_code, *report, stop_was_asked};
  }
  const bool is_saved = std::any_of(ended_.begin(), ended_.end(), [](const auto& ended) {
    return ended->exit_code == to_int(ExitCode::state_saved);
  });
  return {is_saved ? to_int(ExitCode::state_saved) : to_int(ExitCode::ok), std::nullopt, stop_was_asked};
}

std::vector<int> EventLoop::not_ended() const {
  std::vector<int> ranks;
  for (size_t rank = 0; rank < ended_.size(); ++rank) {
    if (!ended_[rank]) {
      ranks.push_back(static_cast<int>(rank));
    }
  }
  return ranks;
}

// "rank 1 on node2, rank 3 on node4".
std::string EventLoop::named(const std::vector<int>& ranks) const {
  std::vector<std::string> names;
  for (const int rank : ranks) {
    names.push_back(cat("rank ", rank, " on ", attempt_.hosts[static_cast<size_t>(rank)]));
  }
  return join(names, ", ");
}

void EventLoop::wait_for_report() const {
  if (report_written_.valid()) {
    report_written_.wait_for(limits_.report);
  }
}

void EventLoop::give_up(const std::string& why, const std::vector<int>& silent) {
  wait_for_report();
  const std::vector<run::FailureReport> failures = reports();
  const run::FailureReport* report = run::earliest_most_specific(failures);
  log::error(cat(named({session_.rank()}), ": ", why, silent.empty() ? "" : cat("; silent: ", named(silent)),
                 ". Ending the job."));
  if (report != nullptr) {
    log::error(cat(named({report->rank}), ": ", report->what, ". ", report->hint));
  }
  worker_.reset();
  session_.abort(report != nullptr ? report->exit_code : to_int(ExitCode::peer_lost));
}

}  // namespace yolodist::supervise
