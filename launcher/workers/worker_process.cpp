// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/workers/worker_process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <thread>

#include "common/base/bytes.h"
#include "common/base/deadline.h"
#include "common/base/error.h"
#include "common/base/text.h"
#include "common/protocol/link_arguments.h"

namespace yolodist::workers {
namespace {

constexpr int child_link_fd = 3;
constexpr int child_memory_fd = 4;
constexpr int first_closed_fd = 5;
// Own descriptors lie above those of the child, so that none is overwritten while they are put in place.
constexpr int first_own_fd = 16;

int checked(int result, const char* call) {
  if (result < 0) {
    throw InternalError(cat("cannot start a worker: ", call, ": ", errno_text(errno)));
  }
  return result;
}

int moved_up(int descriptor) {
  const int moved = checked(fcntl(descriptor, F_DUPFD_CLOEXEC, first_own_fd), "fcntl");
  close(descriptor);
  return moved;
}

std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> list;
  for (std::string& word : words) {
    list.push_back(word.data());
  }
  list.push_back(nullptr);
  return list;
}

// MPI's sockets and everything else stay out of the worker.
void close_the_rest(posix_spawn_file_actions_t& actions) {
#if defined(__GLIBC_PREREQ) && __GLIBC_PREREQ(2, 34)
  posix_spawn_file_actions_addclosefrom_np(&actions, first_closed_fd);
#else
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    const int descriptor = std::stoi(entry.path().filename().string());
    if (descriptor >= first_closed_fd) {
      posix_spawn_file_actions_addclose(&actions, descriptor);
    }
  }
#endif
}

int spawn(const WorkerCommand& command, std::vector<std::string> words, int link_fd, int memory_fd) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, link_fd, child_link_fd);
  posix_spawn_file_actions_adddup2(&actions, memory_fd, child_memory_fd);
  close_the_rest(actions);

  // Schedulers signal every process: until the worker has its handlers (worker/link lets these through then),
  // a request to stop would end it. An extra signal is the launcher's alone.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t mask, all;
  sigemptyset(&mask);
  for (const int number : {SIGINT, SIGTERM, SIGUSR1, SIGUSR2, command.blocked_signal}) {
    if (number != 0) {
      sigaddset(&mask, number);
    }
  }
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &mask);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);

  std::vector<std::string> environment = command.environment;
  pid_t pid = -1;
  const int error = posix_spawnp(&pid, words.front().c_str(), &actions, &attributes, pointers(words).data(),
                                 pointers(environment).data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (error != 0 && !command.prefix.empty()) {
    throw UsageError(cat("--worker-prefix: cannot start '", words.front(), "': ", errno_text(error)));
  }
  if (error != 0) {
    throw InternalError(cat("cannot start ", words.front(), ": ", errno_text(error)));
  }
  return pid;
}

}  // namespace

WorkerProcess::WorkerProcess(const WorkerCommand& command) : attempt_(command.attempt) {
  std::array<int, 2> ends{};
  checked(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), "socketpair");
  socket_ = moved_up(ends[0]);
  const int child_socket = moved_up(ends[1]);
  memory_fd_ = moved_up(checked(memfd_create("yolodist", MFD_CLOEXEC), "memfd_create"));
  checked(fcntl(socket_, F_SETFL, O_NONBLOCK), "fcntl");

  protocol::LinkArguments arguments;
  arguments.link_fd = child_link_fd;
  arguments.memory_fd = child_memory_fd;
  arguments.attempt = attempt_;
  arguments.launcher_pid = getpid();
  arguments.prefixed = !command.prefix.empty();
  std::vector<std::string> words = command.prefix;
  words.push_back(command.program.string());
  for (std::string& word : protocol::to_words(arguments)) {
    words.push_back(std::move(word));
  }
  try {
    pid_ = spawn(command, std::move(words), child_socket, memory_fd_);
  } catch (const Error&) {
    close(child_socket);
    close(socket_);
    close(memory_fd_);
    throw;
  }
  close(child_socket);
}

WorkerProcess::~WorkerProcess() {
  reap();
  signal(SIGKILL);
  // A prefix may have left the worker as an orphan: the end of the socket ends it.
  close(socket_);
  constexpr std::chrono::seconds reaping_limit{5};
  constexpr std::chrono::milliseconds pause{1};
  for (const Deadline deadline = Deadline::after(reaping_limit); !end_ && !deadline.has_passed();) {
    std::this_thread::sleep_for(pause);
    reap();
  }
  for (const Extent& extent : extents_) {
    munmap(extent.memory, static_cast<size_t>(extent.bytes));
  }
  close(memory_fd_);
}

std::vector<protocol::ToLauncher> WorkerProcess::receive() {
  std::array<char, 65536> buffer;
  while (!is_closed_) {
    const ssize_t count = recv(socket_, buffer.data(), buffer.size(), 0);
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      break;
    }
    if (count <= 0) {
      is_closed_ = true;
      break;
    }
    lines_.append({buffer.data(), static_cast<size_t>(count)});
    if (static_cast<size_t>(count) < buffer.size()) {
      break;
    }
  }
  std::vector<protocol::ToLauncher> messages;
  std::string line;
  while (lines_.next(line)) {
    protocol::Envelope<protocol::ToLauncher> envelope = protocol::decode_to_launcher(line);
    if (envelope.attempt == attempt_) {
      messages.push_back(std::move(envelope.body));
    }
  }
  return messages;
}

void WorkerProcess::send(const protocol::ToWorker& message) {
  unsent_ += protocol::encode(attempt_, message);
  send_unsent();
}

void WorkerProcess::send_unsent() {
  while (!unsent_.empty()) {
    const ssize_t count = ::send(socket_, unsent_.data(), unsent_.size(), MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count < 0) {
      if (errno != EAGAIN && errno != EWOULDBLOCK) {
        unsent_.clear();  // the worker is gone; reap() tells how
      }
      return;
    }
    unsent_.erase(0, static_cast<size_t>(count));
  }
}

void WorkerProcess::map_up_to(int64_t bytes) {
  const int64_t begin = extents_.empty() ? 0 : extents_.back().begin + extents_.back().bytes;
  check(bytes > begin, "shared memory only grows");
  // Touching memory beyond the file's end would be SIGBUS, for the whole job.
  struct stat state = {};
  check(fstat(memory_fd_, &state) == 0 && state.st_size >= bytes,
        "the worker has made the shared memory it announces");
  const auto size = static_cast<size_t>(bytes - begin);
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, memory_fd_, begin);
  if (memory == MAP_FAILED) {
    throw StorageError(cat("the launcher cannot map ", to_string(Bytes{bytes - begin}),
                           " of shared memory: ", errno_text(errno)),
                       "Raise the limit on address space (ulimit -v).");
  }
  extents_.push_back({begin, bytes - begin, static_cast<std::byte*>(memory)});
}

std::byte* WorkerProcess::memory(int64_t offset_bytes, int64_t bytes) const {
  for (const Extent& extent : extents_) {
    if (offset_bytes >= extent.begin && bytes >= 0 && bytes <= extent.begin + extent.bytes - offset_bytes) {
      return extent.memory + (offset_bytes - extent.begin);
    }
  }
  throw InternalError(
      cat("the worker names shared memory that is not there: ", bytes, " bytes at ", offset_bytes));
}

void WorkerProcess::signal(int number) {
  if (!end_) {
    kill(pid_, number);
  }
}

void WorkerProcess::reap() {
  int status = 0;
  if (!end_ && waitpid(pid_, &status, WNOHANG) == pid_) {
    if (WIFSIGNALED(status)) {
      end_ = WorkerEnd{128 + WTERMSIG(status), WTERMSIG(status)};
    } else {
      end_ = WorkerEnd{WEXITSTATUS(status), 0};
    }
  }
}

}  // namespace yolodist::workers
