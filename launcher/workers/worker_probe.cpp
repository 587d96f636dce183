// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/workers/worker_probe.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>

#include "common/base/deadline.h"
#include "common/base/error.h"
#include "common/base/exit_code.h"
#include "common/base/text.h"

namespace yolodist::workers {
namespace {

constexpr int cannot_start = 127;  // of a loader that misses a library
constexpr size_t most_text_bytes = 64 << 10;

// All that comes before the deadline or the end of the pipe; false if the deadline came first.
bool read_all(int pipe, const Deadline& deadline, std::string& text) {
  std::array<char, 4096> part{};
  while (true) {
    pollfd waited{pipe, POLLIN, 0};
    const auto remaining = std::max<std::int64_t>(0, deadline.remaining().count());
    const int ready = poll(&waited, 1, static_cast<int>(remaining));
    if (ready < 0 && errno == EINTR) {
      continue;
    }
    if (ready <= 0) {
      return false;
    }
    const ssize_t count = read(pipe, part.data(), part.size());
    if (count <= 0) {
      return true;
    }
    if (text.size() < most_text_bytes) {
      text.append(part.data(), static_cast<size_t>(count));
    }
  }
}

std::string first_line(const std::string& text) {
  const std::string plain = trimmed(text);
  return plain.substr(0, plain.find('\n'));
}

}  // namespace

ProbeResult probe_worker(const std::filesystem::path& program, std::chrono::seconds limit) {
  int ends[2] = {-1, -1};
  if (pipe2(ends, O_CLOEXEC) != 0) {
    throw InternalError(cat("cannot make a pipe: ", errno_text(errno)));
  }
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
  std::string name = program.string();
  char* const words[] = {name.data(), nullptr};
  pid_t pid = -1;
  const int failure = posix_spawn(&pid, name.c_str(), &actions, nullptr, words, environ);
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  if (failure != 0) {
    close(ends[0]);
    return {false, cat("it cannot be started: ", errno_text(failure))};
  }
  std::string text;
  const bool has_ended = read_all(ends[0], Deadline::after(limit), text);
  close(ends[0]);
  if (!has_ended) {
    kill(pid, SIGKILL);
  }
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (!has_ended) {
    return {false, cat("it does not answer within ", limit.count(), " s")};
  }
  if (WIFSIGNALED(status)) {
    return {false, cat("it is ended by signal ", WTERMSIG(status), ": ", first_line(text))};
  }
  // Without a launcher's arguments it ends with a usage error, of its own main: all libraries are there.
  if (WEXITSTATUS(status) == to_int(ExitCode::usage)) {
    return {true, ""};
  }
  return {false, cat(WEXITSTATUS(status) == cannot_start ? "" : cat("exit code ", WEXITSTATUS(status), ": "),
                     first_line(text))};
}

}  // namespace yolodist::workers
