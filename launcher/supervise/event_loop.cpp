// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/supervise/event_loop.h"

#include <poll.h>
#include <sys/prctl.h>

#include <algorithm>
#include <csignal>
#include <ctime>
#include <filesystem>
#include <utility>

#include "common/base/log.h"
#include "common/base/text.h"
#include "common/run/run_directory.h"

namespace yolodist::supervise {
namespace {

using namespace std::chrono_literals;

// Nothing is outstanding: the socket and the signals wake us, only messages of other launchers do not.
constexpr std::chrono::nanoseconds idle_sleep = 100ms;
// Other launchers are about to send their last message.
constexpr std::chrono::nanoseconds ending_sleep = 2ms;
// Data move: a transfer takes some dozen looks on both sides.
constexpr std::chrono::nanoseconds moving_sleep = 100us;
// A peer has not come yet: the longer it takes, the less another moment matters.
constexpr std::chrono::nanoseconds shortest_sleep = 50us;
constexpr std::chrono::nanoseconds longest_sleep = 1ms;
constexpr int share_of_wait = 16;
// A transfer that takes this long is stuck behind a peer that does not get a core.
constexpr std::chrono::nanoseconds long_wait = 20ms;
// Timers of this process fire this exactly; 50 µs is the default of Linux, longer than the shortest sleep.
constexpr unsigned long timer_slack_ns = 5000;

// How often rank 0 looks for the file that asks to stop: a look is one system call, on a network file system
// too.
constexpr std::chrono::nanoseconds stop_file_interval = 1s;

// No collective is this large; guards the multiplication by the element size.
constexpr int64_t largest_element_count = int64_t{1} << 48;

}  // namespace

std::chrono::nanoseconds SleepRhythm::next() const {
  const std::chrono::nanoseconds waited = std::chrono::steady_clock::now() - since_;
  return std::clamp(waited / share_of_wait, shortest_sleep, longest_sleep);
}

bool SleepRhythm::is_long() const {
  return std::chrono::steady_clock::now() - since_ > long_wait;
}

EventLoop::EventLoop(mpi::Session& session, SignalQueue& signals, const Attempt& attempt,
                     const Limits& limits)
    : session_(session),
      signals_(signals),
      attempt_(attempt),
      limits_(limits),
      collectives_(session),
      control_(session),
      ended_(static_cast<size_t>(session.size())) {
  record_.attempt = attempt.start.attempt;
  record_.rank = session.rank();
  record_.host = attempt.host;
  prctl(PR_SET_TIMERSLACK, timer_slack_ns);
}

Outcome EventLoop::run() {
  while (true) {
    try {
      if (signal_is_ready_) {
        take_signals();
      }
      take_stop_file();
      if (worker_) {
        if (socket_is_ready_) {
          take_worker_messages();
        }
        take_worker_end();
      } else if (!failing_) {
        start_worker();
      }
      take_finished_collectives();
      take_peer_messages();
    } catch (const Error& error) {
      if (failing_) {
        give_up(cat("while ending after a failure: ", error.one_line()));
      }
      fail(report_of_error(record_, error));
    }
    if (failing_ && !announced_at_ && (!worker_ || worker_->end())) {
      announce_end(own_failure_ ? own_failure_->exit_code : to_int(ExitCode::ok), own_failure_);
    }
    keep_deadlines();
    if (all_ended()) {
      start_missing_collectives();
      if (!collectives_.is_busy() && !control_.is_sending()) {
        return outcome();
      }
    }
    sleep();
  }
}

void EventLoop::start_worker() {
  worker_.emplace(attempt_.worker);
  worker_->send(attempt_.start);
  if (!stop_reason_.empty()) {
    worker_->send(protocol::Stop{stop_reason_});
  }
}

void EventLoop::take_signals() {
  while (const std::optional<int> number = signals_.next()) {
    if (*number == SIGCHLD) {
      if (worker_) {
        worker_->reap();
      }
      continue;
    }
    if (*number == SIGINT && ++interrupts_ > 1) {
      log::warning("second SIGINT: ending at once, without a checkpoint");
      worker_.reset();
      session_.abort(128 + SIGINT);
    }
    ask_to_stop(signal_name(*number));
  }
}

void EventLoop::ask_to_stop(const std::string& reason) {
  stop_reason_ = reason;
  log::info(cat(reason, ": rank ", session_.rank(), " asks all ranks to save and stop"));
  if (worker_ && !worker_->end()) {
    worker_->send(protocol::Stop{stop_reason_});
  }
}

// Rank 0 looks for what `yolodist stop` leaves.
void EventLoop::take_stop_file() {
  const Clock::time_point now = Clock::now();
  if (session_.rank() != 0 || attempt_.start.command != "train" ||
      now - looked_for_stop_at_ < stop_file_interval) {
    return;
  }
  looked_for_stop_at_ = now;
  std::error_code ignored;
  if (std::filesystem::remove(run::RunDirectory{attempt_.start.run_directory}.stop_file(), ignored)) {
    ask_to_stop("yolodist stop");
  }
}

void EventLoop::take_worker_messages() {
  if (worker_->has_unsent()) {
    worker_->send_unsent();
  }
  for (const protocol::ToLauncher& message : worker_->receive()) {
    record_.said_hello = true;
    std::visit([this](const auto& body) { take(body); }, message);
  }
}

void EventLoop::take(const protocol::Hello& message) {
  const std::string& expected =
      attempt_.start.device == "cpu" ? attempt_.start.device : attempt_.start.device_uuid;
  if (message.device != expected) {
    throw DeviceUnavailable(cat("the worker bound device '", message.device, "' instead of '", expected, "'"),
                            "Look for another program that hides or renumbers GPUs (CUDA_VISIBLE_DEVICES).");
  }
}

void EventLoop::take(const protocol::Resize& message) {
  worker_->map_up_to(message.bytes);
  worker_->send(protocol::Resized{message.bytes});
}

void EventLoop::take(const protocol::Collective& message) {
  if (failing_) {
    return;
  }
  check(message.count > 0 && message.count <= largest_element_count, "a collective has a sensible size");
  check(message.root >= 0 && message.root < session_.size(), "the root of a collective is a rank");
  int64_t bytes = message.count;
  if (message.kind == protocol::CollectiveKind::all_reduce) {
    bytes *= static_cast<int64_t>(protocol::size_of(message.dtype));
  } else if (message.kind == protocol::CollectiveKind::all_gather) {
    bytes *= session_.size();
  }
  collectives_.start(message, worker_->memory(message.offset_bytes, bytes));
  rhythm_.something_happened();
}

void EventLoop::take(const protocol::Progress& message) {
  if (attempt_.start.command == "train") {
    heard_at_ = Clock::now();  // from now on it also sends samples
  }
  record_.last_progress = message;
  if (!message.text.empty()) {
    log::info(message.text);
  }
}

// Rank 0's worker writes the samples of all; a failing attempt has other things to say.
void EventLoop::take(const protocol::Sample& message) {
  heard_at_ = Clock::now();
  if (session_.rank() != 0 && !failing_ && !announced_at_) {
    control_.send(0, encode(record_.attempt, PeerSample{message}));
  }
}

void EventLoop::take(const protocol::Failure& message) {
  said_end_at_ = Clock::now();
  record_.own_report = message.report;
  record_.own_report->attempt = record_.attempt;
  record_.own_report->rank = record_.rank;
  record_.own_report->host = record_.host;
  fail(*record_.own_report);
}

void EventLoop::take(const protocol::Done& message) {
  said_end_at_ = Clock::now();
  record_.done = message.exit_code;
}

void EventLoop::take_finished_collectives() {
  const int64_t event_count = collectives_.event_count();
  for (const mpi::FinishedCollective& finished : collectives_.test()) {
    if (worker_ && !worker_->end()) {
      worker_->send(protocol::CollectiveDone{finished.channel, finished.sequence, ""});
    }
  }
  if (collectives_.event_count() != event_count) {
    rhythm_.something_happened();
  }
}

void EventLoop::take_peer_messages() {
  if (session_.size() == 1) {
    return;
  }
  while (std::optional<mpi::ControlChannel::Incoming> incoming = control_.receive()) {
    LauncherEnvelope envelope = decode_launcher_message(incoming->text);
    if (envelope.attempt != record_.attempt) {
      continue;
    }
    if (auto* failed = std::get_if<PeerFailed>(&envelope.message)) {
      peer_failures_.push_back(std::move(failed->report));
      end_worker();
    } else if (const auto* sample = std::get_if<PeerSample>(&envelope.message)) {
      if (worker_ && !worker_->end()) {
        worker_->send(protocol::PeerSample{incoming->from, sample->sample});
      }
    } else {
      PeerEnded& message = std::get<PeerEnded>(envelope.message);
      if (message.report) {
        end_worker();
      }
      ended_[static_cast<size_t>(incoming->from)] = std::move(message);
    }
  }
}

void EventLoop::take_worker_end() {
  const std::optional<workers::WorkerEnd>& end = worker_->end();
  if (!end || announced_at_) {
    return;
  }
  // Its last words are still in the socket.
  while (!worker_->is_closed()) {
    const std::vector<protocol::ToLauncher> messages = worker_->receive();
    if (messages.empty()) {
      break;
    }
    for (const protocol::ToLauncher& message : messages) {
      std::visit([this](const auto& body) { take(body); }, message);
    }
  }
  if (terminated_at_ && !record_.own_report) {
    return;  // it ended because we ended it: not a failure of its own
  }
  std::optional<run::FailureReport> report = report_of_end(record_, *end);
  if (report && !own_failure_) {
    fail(*report);
  }
  if (!report) {
    announce_end(end->exit_code, std::nullopt);
  }
}

void EventLoop::fail(run::FailureReport report) {
  if (!own_failure_) {
    own_failure_ = std::move(report);
    try {
      const run::RunDirectory directory{attempt_.start.run_directory};
      run::write_failure_report(directory.failure_report(record_.attempt, record_.rank), *own_failure_);
    } catch (const Error& error) {
      log::warning(cat("the failure report could not be written: ", error.what()));
    }
    control_.send_to_others(encode(record_.attempt, PeerFailed{*own_failure_}));
  }
  end_worker();
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

void EventLoop::keep_deadlines() {
  const Clock::time_point now = Clock::now();
  const bool is_running = worker_ && !worker_->end();
  if (is_running && terminated_at_ && now - *terminated_at_ > limits_.kill_grace) {
    worker_->signal(SIGKILL);
  }
  if (is_running && said_end_at_ && now - *said_end_at_ > limits_.exit_after_done) {
    log::warning("the worker said that it ends, but goes on; it is killed");
    worker_->signal(SIGKILL);
  }
  if (is_running && !failing_ && !record_.said_hello && attempt_.worker.prefix.empty() &&
      now - started_at_ > limits_.hello) {
    fail(report_of_error(record_, InternalError(cat("the worker said nothing for ", limits_.hello.count(),
                                                    " s after its start"),
                                                "A file system may be stuck while LibTorch is loaded.")));
  }
  // Samples come from a thread of their own, whatever the worker computes: silence means that it is stopped,
  // or stuck in the kernel.
  if (is_running && !failing_ && heard_at_ && !said_end_at_ && attempt_.worker.prefix.empty() &&
      now - *heard_at_ > limits_.silence) {
    const protocol::Progress& at = record_.last_progress;
    fail(report_of_error(record_, PeerLost(cat("the worker has said nothing for ", limits_.silence.count(),
                                               " s, in epoch ", at.epoch, ", iteration ", at.iteration),
                                           "It is stopped, or waits for a device or a file system.")));
  }
  if (failing_ && now - *failing_at_ > limits_.kill_grace + limits_.peers_end) {
    give_up("not all launchers answered after the failure");
  }
  if (announced_at_ && !failing_ && now - *announced_at_ > limits_.peers_finish) {
    give_up(
        cat("this rank has finished, but others did not within ", limits_.peers_finish.count(), " minutes"));
  }
}

void EventLoop::announce_end(int exit_code, std::optional<run::FailureReport> report) {
  PeerEnded message;
  message.exit_code = exit_code;
  message.stop_was_asked = !stop_reason_.empty();
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
      give_up("the ranks have started too different collectives to end them in order");
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

void EventLoop::give_up(const std::string& why) {
  const std::vector<run::FailureReport> failures = reports();
  const run::FailureReport* report = run::earliest_most_specific(failures);
  std::vector<std::string> silent;
  for (size_t rank = 0; rank < ended_.size(); ++rank) {
    if (!ended_[rank]) {
      silent.push_back(std::to_string(rank));
    }
  }
  log::error(cat("rank ", session_.rank(), ": ", why, silent.empty() ? "" : "; silent: rank ",
                 join(silent, ", "), ". Ending the job."));
  if (report != nullptr) {
    log::error(cat("rank ", report->rank, " on ", report->host, ": ", report->what, ". ", report->hint));
  }
  worker_.reset();
  session_.abort(report != nullptr ? report->exit_code : to_int(ExitCode::peer_lost));
}

void EventLoop::sleep() {
  std::chrono::nanoseconds duration = idle_sleep;
  if (collectives_.is_moving() && !rhythm_.is_long()) {
    duration = moving_sleep;
  } else if (collectives_.is_busy() || control_.is_sending()) {
    duration = rhythm_.next();
  } else if (failing_) {
    duration = ending_sleep;
  }
  std::array<pollfd, 2> descriptors = {pollfd{signals_.descriptor(), POLLIN, 0}, pollfd{-1, POLLIN, 0}};
  if (worker_ && !worker_->is_closed()) {
    descriptors[1].fd = worker_->socket();
    descriptors[1].events = worker_->has_unsent() ? POLLIN | POLLOUT : POLLIN;
  }
  const timespec timeout = {static_cast<time_t>(duration / 1s), static_cast<long>((duration % 1s).count())};
  const int ready = ppoll(descriptors.data(), descriptors.size(), &timeout, nullptr);
  signal_is_ready_ = ready > 0 && descriptors[0].revents != 0;
  socket_is_ready_ = ready > 0 && descriptors[1].revents != 0;
}

Outcome supervise(mpi::Session& session, SignalQueue& signals, const Attempt& attempt, const Limits& limits) {
  return EventLoop(session, signals, attempt, limits).run();
}

}  // namespace yolodist::supervise
