// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/supervise/event_loop.h"

#include <poll.h>
#include <sys/prctl.h>

#include <csignal>
#include <ctime>
#include <utility>

#include "common/base/log.h"
#include "common/base/signal_names.h"
#include "common/base/text.h"

namespace yolodist::supervise {
namespace {

using namespace std::chrono_literals;

// Nothing is outstanding: the socket and the signals wake us, only messages of other launchers do not.
constexpr std::chrono::nanoseconds idle_sleep = 100ms;
// Other launchers are about to send their last message.
constexpr std::chrono::nanoseconds ending_sleep = 2ms;
// Data move: a transfer takes some dozen looks on both sides.
constexpr std::chrono::nanoseconds moving_sleep = 100us;
// Timers of this process fire this exactly; 50 µs is the default of Linux, longer than the shortest sleep.
constexpr unsigned long timer_slack_ns = 5000;

// A turn of the loop takes milliseconds. After a longer one this process was stopped, or the machine slept.
constexpr std::chrono::nanoseconds own_sleep = 5s;

// No collective is this large; guards the multiplication by the element size.
constexpr int64_t largest_element_count = int64_t{1} << 48;

}  // namespace

EventLoop::EventLoop(mpi::Session& session, SignalQueue& signals, const Attempt& attempt,
                     const Limits& limits)
    : session_(session),
      signals_(signals),
      attempt_(attempt),
      limits_(limits),
      collectives_(session),
      control_(session),
      worker_watch_(limits, Clock::now()),
      peer_watch_(session.rank(), session.size(), limits.peer_silence, Clock::now()),
      ended_(static_cast<size_t>(session.size())),
      stop_(*attempt.stop) {
  record_.attempt = attempt.start.attempt;
  record_.rank = session.rank();
  record_.host = attempt.hosts.at(static_cast<size_t>(session.rank()));
  prctl(PR_SET_TIMERSLACK, timer_slack_ns);
}

Outcome EventLoop::run() {
  while (true) {
    try {
      if (signal_is_ready_) {
        take_signals();
      }
      take_stop_requests();
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
        give_up(cat("while ending after a failure: ", error.one_line()), {});
      }
      fail(report_of_error(record_, error));
    }
    if (failing_ && !announced_at_ && (!worker_ || worker_->end())) {
      announce_end(own_failure_ ? own_failure_->exit_code : to_int(ExitCode::ok), own_failure_);
    }
    notice_own_sleep();
    keep_worker_deadlines();
    keep_peer_deadlines();
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
  if (!stop_.reason.empty()) {
    worker_->send(protocol::Stop{stop_.reason});
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
    if (*number == SIGINT && ++stop_.interrupts > 1) {
      log::warning("second SIGINT: ending at once, without a checkpoint");
      worker_.reset();
      session_.abort(128 + SIGINT);
    }
    ask_to_stop(signal_name(*number));
  }
}

void EventLoop::ask_to_stop(const std::string& reason) {
  stop_.reason = reason;
  log::info(cat(reason, ": rank ", session_.rank(), " asks all ranks to save and stop"));
  if (worker_ && !worker_->end()) {
    worker_->send(protocol::Stop{stop_.reason});
  }
}

// Those that no signal brings.
void EventLoop::take_stop_requests() {
  if (attempt_.run_watch != nullptr) {
    if (attempt_.run_watch->take_stop()) {
      ask_to_stop("yolodist stop");
    }
    if (attempt_.run_watch->is_taken_over() && !failing_) {
      throw StorageError(cat("another job has taken over ", attempt_.start.run_directory),
                         "This one ends without writing anything more there.");
    }
  }
  const TimeLimit* limit = attempt_.time_limit;
  if (limit != nullptr && stop_.reason.empty() &&
      limit->is_due(TimeLimit::Clock::now(), worker_watch_.longest_gap())) {
    ask_to_stop(limit->name());
  }
}

void EventLoop::take_worker_messages() {
  if (worker_->has_unsent()) {
    worker_->send_unsent();
  }
  for (const protocol::ToLauncher& message : worker_->receive()) {
    record_.said_hello = true;
    worker_watch_.said_hello();
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
  worker_watch_.was_active(Clock::now());
  rhythm_.something_happened();
}

void EventLoop::take(const protocol::Progress& message) {
  if (attempt_.start.command == "train") {
    worker_watch_.made_progress(Clock::now());  // from now on it also sends samples
  }
  record_.last_progress = message;
  if (!message.text.empty()) {
    log::info(message.text);
  }
}

// Rank 0's worker writes the samples of all; a failing attempt has other things to say.
void EventLoop::take(const protocol::Sample& message) {
  worker_watch_.sent_sample(message.phase, Clock::now());
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
      worker_watch_.was_active(Clock::now());
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
    peer_watch_.heard(incoming->from, Clock::now());
    LauncherEnvelope envelope = decode_launcher_message(incoming->text);
    if (envelope.attempt != record_.attempt || std::holds_alternative<PeerBeat>(envelope.message)) {
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

void EventLoop::notice_own_sleep() {
  const Clock::time_point now = Clock::now();
  if (now - std::exchange(awake_at_, now) > own_sleep) {
    worker_watch_.forget_silence(now);
    peer_watch_.forget_silence(now);
  }
}

void EventLoop::keep_worker_deadlines() {
  if (!worker_ || worker_->end()) {
    return;
  }
  const Clock::time_point now = Clock::now();
  if (terminated_at_ && now - *terminated_at_ > limits_.kill_grace) {
    worker_->signal(SIGKILL);
  }
  if (said_end_at_ && now - *said_end_at_ > limits_.exit_after_done) {
    log::warning("the worker said that it ends, but goes on; it is killed");
    worker_->signal(SIGKILL);
  }
  // A debugger may hold a worker with a prefix as long as it likes.
  if (failing_ || said_end_at_ || !attempt_.worker.prefix.empty()) {
    return;
  }
  if (const auto trouble = worker_watch_.trouble(collectives_.is_busy(), now)) {
    const protocol::Progress& at = record_.last_progress;
    const std::string where = cat(trouble->what, " in epoch ", at.epoch, ", iteration ", at.iteration);
    fail(trouble->is_start ? report_of_error(record_, InternalError(trouble->what, trouble->hint))
                           : report_of_error(record_, PeerLost(where, trouble->hint)));
  }
}

void EventLoop::keep_peer_deadlines() {
  const Clock::time_point now = Clock::now();
  for (const int rank : peer_watch_.beats_due(now)) {
    control_.send(rank, encode(record_.attempt, PeerBeat{}));
  }
  if (const std::vector<int> silent = peer_watch_.silent(now); !silent.empty()) {
    give_up(
        cat("nothing heard for ", limits_.peer_silence.count(), " s: the host is down or the network is cut"),
        silent);
  }
  if (failing_ && now - *failing_at_ > limits_.kill_grace + limits_.peers_end) {
    give_up("not all launchers answered after the failure", not_ended());
  }
  if (announced_at_ && !failing_ && now - *announced_at_ > limits_.peers_finish) {
    give_up(
        cat("this rank has finished, but others did not within ", limits_.peers_finish.count(), " minutes"),
        not_ended());
  }
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
