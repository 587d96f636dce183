// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/mpi/starter.h"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <string>

#include "common/base/text.h"

namespace yolodist::mpi {
namespace {

// Of Open MPI 4, of Open MPI 5, of MPICH: those that start one job. PRRTE's daemons (prte, prted) may serve
// others.
bool is_starter(pid_t pid) {
  constexpr std::array names = {"mpirun",  "mpiexec",       "orterun",        "orted",
                                "prterun", "mpiexec.hydra", "hydra_pmi_proxy"};
  std::ifstream file(cat("/proc/", pid, "/comm"));
  std::string name;
  std::getline(file, name);
  return std::find(names.begin(), names.end(), name) != names.end();
}

// True when the process has ended within `limit`.
bool has_ended(int process, std::chrono::milliseconds limit) {
  pollfd descriptor = {process, POLLIN, 0};
  return poll(&descriptor, 1, static_cast<int>(limit.count())) > 0;
}

}  // namespace

#if defined(SYS_pidfd_open) && defined(SYS_pidfd_send_signal) && defined(SYS_close_range)
void end_starter_after(std::chrono::seconds grace) {
  const pid_t starter = getppid();
  if (!is_starter(starter)) {
    return;
  }
  // A descriptor means this process for good, whatever becomes of its number.
  const int process = static_cast<int>(syscall(SYS_pidfd_open, starter, 0));
  if (process < 0 || fork() != 0) {
    return;
  }
  // Only calls that are allowed after a fork beside other threads.
  setsid();
  dup2(process, STDIN_FILENO);
  syscall(SYS_close_range, 1U, ~0U, 0);
  if (!has_ended(STDIN_FILENO, grace)) {
    syscall(SYS_pidfd_send_signal, STDIN_FILENO, SIGKILL, nullptr, 0);
  }
  _exit(0);
}
#else  // Linux before 5.9
void end_starter_after(std::chrono::seconds) {}
#endif

}  // namespace yolodist::mpi
