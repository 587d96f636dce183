// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/mpi/srun_offers.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>

#include "common/base/deadline.h"
#include "common/base/text.h"

namespace yolodist::mpi {
namespace {

constexpr size_t most_bytes = 16 << 10;

// Both outputs of the started program; nothing if it cannot be started.
struct Started {
  pid_t pid = -1;
  int pipe = -1;
};
std::optional<Started> start(std::string program) {
  int ends[2] = {-1, -1};
  if (pipe2(ends, O_CLOEXEC) != 0) {
    return std::nullopt;
  }
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
  std::string option = "--mpi=list";
  char* const words[] = {program.data(), option.data(), nullptr};
  Started started;
  started.pipe = ends[0];
  const int failure = posix_spawnp(&started.pid, program.c_str(), &actions, nullptr, words, environ);
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  if (failure != 0) {
    close(ends[0]);
    return std::nullopt;
  }
  return started;
}

// To the end of the pipe, or the deadline.
std::string read_until(int pipe, const Deadline& deadline) {
  std::string text;
  std::array<char, 4096> part{};
  while (text.size() < most_bytes && !deadline.has_passed()) {
    pollfd waited{pipe, POLLIN, 0};
    const int ready = poll(&waited, 1, static_cast<int>(deadline.remaining().count()) + 1);
    if (ready < 0 && errno == EINTR) {
      continue;
    }
    const ssize_t count = ready > 0 ? read(pipe, part.data(), part.size()) : 0;
    if (count <= 0) {
      break;
    }
    text.append(part.data(), static_cast<size_t>(count));
  }
  return text;
}

}  // namespace

std::vector<std::string> read_srun_offers(std::string_view output) {
  // "MPI plugin types are...", then a name a line; at the end "specific pmix plugin versions available: …".
  // Before 21.08 each line begins with "srun: ".
  std::vector<std::string> names;
  bool in_list = false;
  for (std::string line : split(output, '\n')) {
    line = trimmed(line);
    if (line.starts_with("srun: ")) {
      line = trimmed(line.substr(6));
    }
    if (line.ends_with("types are...")) {
      in_list = true;
    } else if (in_list && !line.empty() && line.find_first_of(" :") == std::string::npos) {
      names.push_back(line);
    }
  }
  return names;
}

std::vector<std::string> ask_srun_offers(const std::string& program, std::chrono::milliseconds limit) {
  const std::optional<Started> started = start(program);
  if (!started) {
    return {};
  }
  const std::string text = read_until(started->pipe, Deadline::after(limit));
  close(started->pipe);
  kill(started->pid, SIGKILL);  // it has said all, or is stuck
  int status = 0;
  while (waitpid(started->pid, &status, 0) < 0 && errno == EINTR) {
  }
  return read_srun_offers(text);
}

}  // namespace yolodist::mpi
