// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/link/link.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>

#include "common/base/bytes.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/text.h"
#include "common/protocol/shared_memory.h"

namespace yolodist::link {
namespace {

// Signal handlers can reach nothing else.
std::atomic<int> stop_signal{0};
std::atomic<int> launcher_pid{0};

extern "C" void note_stop_signal(int signal_number, siginfo_t* info, void*) {
  if (signal_number == SIGTERM && info->si_code <= 0 && info->si_pid == launcher_pid.load()) {
    _exit(128 + SIGTERM);
  }
  stop_signal.store(signal_number);
}

void set_signal_handlers() {
  struct sigaction action = {};
  action.sa_sigaction = note_stop_signal;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  sigemptyset(&action.sa_mask);
  for (const int number : {SIGTERM, SIGUSR1, SIGUSR2}) {
    sigaction(number, &action, nullptr);
  }
  std::signal(SIGINT, SIG_IGN);
  // The launcher starts workers with these blocked, so that none comes before the handlers are there.
  sigset_t awaited;
  sigemptyset(&awaited);
  for (const int number : {SIGINT, SIGTERM, SIGUSR1, SIGUSR2}) {
    sigaddset(&awaited, number);
  }
  pthread_sigmask(SIG_UNBLOCK, &awaited, nullptr);
  std::signal(SIGXFSZ, SIG_IGN);
  std::signal(SIGPIPE, SIG_IGN);
}

[[noreturn]] void end_as_orphan() {
  // Nothing may be cleaned up: other threads are at work, and the launcher can no longer be told anything.
  _exit(to_int(ExitCode::peer_lost));
}

void die_with_launcher(const LinkArguments& arguments) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  // The launcher may have died before prctl; then nobody will send the signal.
  if (!arguments.prefixed && getppid() != arguments.launcher_pid) {
    end_as_orphan();
  }
}

}  // namespace

Link::Link(const LinkArguments& arguments) : arguments_(arguments) {
  die_with_launcher(arguments_);
  launcher_pid.store(arguments_.launcher_pid);
  set_signal_handlers();
  fcntl(arguments_.link_fd, F_SETFD, FD_CLOEXEC);
  fcntl(arguments_.memory_fd, F_SETFD, FD_CLOEXEC);

  // Signals are for the main thread: none may interrupt the reader.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  reader_ = std::thread([this] { read_messages(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Link::~Link() {
  closing_ = true;
  shutdown(arguments_.link_fd, SHUT_RD);
  reader_.join();
  for (const SharedExtent& extent : extents_) {
    munmap(extent.memory.data(), extent.memory.size());
  }
  close(arguments_.link_fd);
  close(arguments_.memory_fd);
}

void Link::read_messages() {
  try {
    protocol::LineReader lines;
    std::array<char, 65536> buffer;
    std::string line;
    while (true) {
      const ssize_t count = recv(arguments_.link_fd, buffer.data(), buffer.size(), 0);
      if (count < 0 && errno == EINTR) {
        continue;
      }
      if (count <= 0) {
        if (closing_) {
          return;
        }
        end_as_orphan();
      }
      lines.append({buffer.data(), static_cast<size_t>(count)});
      while (lines.next(line)) {
        protocol::Envelope<protocol::ToWorker> envelope = protocol::decode_to_worker(line);
        if (envelope.attempt == arguments_.attempt) {
          handle(std::move(envelope.body));
        }
      }
    }
  } catch (const Error&) {
    // Handed to whoever waits; collectives under way are told too, since nobody will answer them any more.
    std::map<std::pair<protocol::Channel, int64_t>, OnDone> abandoned;
    {
      const std::lock_guard lock(mutex_);
      broken_ = std::current_exception();
      abandoned.swap(outstanding_);
    }
    changed_.notify_all();
    for (auto& [key, on_done] : abandoned) {
      on_done("the link to the launcher is broken");
    }
  }
}

void Link::handle(protocol::ToWorker message) {
  if (auto* done = std::get_if<protocol::CollectiveDone>(&message)) {
    OnDone on_done;
    {
      const std::lock_guard lock(mutex_);
      const auto found = outstanding_.find({done->channel, done->sequence});
      check(found != outstanding_.end(), "the launcher answers a collective that was started");
      on_done = std::move(found->second);
      outstanding_.erase(found);
    }
    on_done(done->error);
    return;
  }
  if (const auto* sample = std::get_if<protocol::PeerSample>(&message)) {
    const std::lock_guard lock(peer_sample_mutex_);
    if (on_peer_sample_) {
      on_peer_sample_(*sample);
    }
    return;
  }
  {
    const std::lock_guard lock(mutex_);
    if (auto* start = std::get_if<protocol::Start>(&message)) {
      start_ = std::move(*start);
    } else if (auto* resized = std::get_if<protocol::Resized>(&message)) {
      confirmed_bytes_ = resized->bytes;
    } else if (auto* stop = std::get_if<protocol::Stop>(&message)) {
      stop_reason_ = stop->reason;
    }
  }
  changed_.notify_all();
}

void Link::throw_if_broken_locked() const {
  if (broken_) {
    std::rethrow_exception(broken_);
  }
}

protocol::Start Link::wait_for_start(Deadline deadline) {
  std::unique_lock lock(mutex_);
  while (!start_) {
    throw_if_broken_locked();
    if (deadline.has_passed()) {
      throw PeerLost("the launcher did not send its start message in time");
    }
    changed_.wait_until(lock, deadline.at());
  }
  return *start_;
}

bool Link::stop_requested() const {
  if (stop_signal.load() != 0) {
    return true;
  }
  const std::lock_guard lock(mutex_);
  return !stop_reason_.empty();
}

std::string Link::stop_reason() const {
  switch (stop_signal.load()) {
    case SIGTERM:
      return "SIGTERM";
    case SIGUSR1:
      return "SIGUSR1";
    case SIGUSR2:
      return "SIGUSR2";
    default:
      break;
  }
  const std::lock_guard lock(mutex_);
  return stop_reason_;
}

void Link::send_locked(const protocol::ToLauncher& message) {
  const std::string line = protocol::encode(arguments_.attempt, message);
  check(line.size() <= protocol::max_line_bytes, "a message to the launcher fits into a line");
  size_t sent = 0;
  while (sent < line.size()) {
    const ssize_t count = ::send(arguments_.link_fd, line.data() + sent, line.size() - sent, MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count < 0) {
      end_as_orphan();
    }
    sent += static_cast<size_t>(count);
  }
}

void Link::send(const protocol::ToLauncher& message) {
  const std::lock_guard lock(send_mutex_);
  send_locked(message);
}

void Link::send_hello(const std::string& device) {
  send(protocol::Hello{getpid(), device});
}

void Link::send_progress(const protocol::Progress& progress) {
  send(progress);
}

void Link::send_sample(const protocol::Sample& sample) {
  send(sample);
}

void Link::on_peer_sample(OnPeerSample on_peer_sample) {
  const std::lock_guard lock(peer_sample_mutex_);
  on_peer_sample_ = std::move(on_peer_sample);
}

void Link::send_failure(const run::FailureReport& report) {
  send(protocol::Failure{report});
}

void Link::send_done(ExitCode exit_code) {
  send(protocol::Done{exit_code});
}

int64_t Link::start_collective(protocol::Collective collective, OnDone on_done) {
  const std::lock_guard sending(send_mutex_);
  collective.sequence = next_sequence_[static_cast<size_t>(collective.channel)];
  {
    const std::lock_guard lock(mutex_);
    throw_if_broken_locked();
    outstanding_.emplace(std::pair(collective.channel, collective.sequence), std::move(on_done));
  }
  ++next_sequence_[static_cast<size_t>(collective.channel)];
  send_locked(collective);
  return collective.sequence;
}

SharedExtent Link::extend_shared_memory(int64_t bytes, Deadline deadline) {
  const std::lock_guard extending(extend_mutex_);
  const int64_t begin = mapped_bytes_;
  const int64_t size = protocol::aligned_extent(bytes);
  check(bytes > 0, "shared memory grows by something");

  const int error = posix_fallocate(arguments_.memory_fd, begin, size);
  if (error != 0) {
    // What was allocated before it failed goes back.
    if (ftruncate(arguments_.memory_fd, begin) != 0) {
      log::warning(cat("shared memory could not be shrunk again: ", errno_text(errno)));
    }
    throw StorageError(cat("no room for ", to_string(Bytes{size}),
                           " of shared memory between launcher and worker: ", errno_text(error)),
                       "Free memory on this host, or raise the limit (ulimit -f, the container's memory).");
  }
  void* memory = mmap(nullptr, static_cast<size_t>(size), PROT_READ | PROT_WRITE, MAP_SHARED,
                      arguments_.memory_fd, begin);
  if (memory == MAP_FAILED) {
    throw StorageError(cat("cannot map ", to_string(Bytes{size}), " of shared memory: ", errno_text(errno)),
                       "Raise the limit on address space (ulimit -v).");
  }
  extents_.push_back({{static_cast<std::byte*>(memory), static_cast<size_t>(size)}, begin});
  mapped_bytes_ = begin + size;
  send(protocol::Resize{mapped_bytes_});

  std::unique_lock lock(mutex_);
  while (confirmed_bytes_ < mapped_bytes_) {
    throw_if_broken_locked();
    if (deadline.has_passed()) {
      throw PeerLost("the launcher did not map the shared memory in time");
    }
    changed_.wait_until(lock, deadline.at());
  }
  return extents_.back();
}

}  // namespace yolodist::link
