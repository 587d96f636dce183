// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/commands/start_mpirun.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>

#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/text.h"
#include "launcher/cli/options.h"
#include "launcher/mpi/interfaces.h"
#include "launcher/mpi/launch_environment.h"
#include "launcher/supervise/signals.h"
#include "launcher/workers/worker_command.h"

namespace yolodist::commands {
namespace {

std::string find_mpirun(const std::string& name) {
  const std::optional<std::string> program = workers::find_program(name);
  if (!program) {
    throw DeviceUnavailable(cat("several ranks need ", name, ", which is not in PATH"),
                            "Load the MPI module, or add its bin folder to PATH.");
  }
  return *program;
}

// Nothing of MPI and no thread is there yet, so fork is safe, and it is the way to PR_SET_PDEATHSIG.
pid_t start(const std::string& program, std::vector<std::string>& words) {
  std::vector<char*> arguments;
  for (std::string& word : words) {
    arguments.push_back(word.data());
  }
  arguments.push_back(nullptr);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid != 0) {
    return pid;
  }
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  // A group of its own: Ctrl-C at the terminal comes to us only. It must not read the terminal then.
  setpgid(0, 0);
  const int nothing = open("/dev/null", O_RDONLY);
  if (nothing >= 0) {
    dup2(nothing, STDIN_FILENO);
  }
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  if (getppid() == parent) {
    execv(program.c_str(), arguments.data());
  }
  _exit(to_int(ExitCode::no_device));
}

int exit_code_of(int status) {
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace

int run_under_mpirun(int ranks, const std::vector<std::string>& words, int stop_signal,
                     const std::vector<std::string>& interfaces) {
  std::vector<std::string> command = mpi::mpirun_words(ranks);
  const std::string mpirun = find_mpirun(command.front());
  command.push_back(std::filesystem::read_symlink("/proc/self/exe").string());
  command.insert(command.end(), words.begin(), words.end());
  for (const std::string& variable : mpi::mpirun_variables()) {
    const size_t equals = variable.find('=');
    setenv(variable.substr(0, equals).c_str(), variable.substr(equals + 1).c_str(), /*overwrite=*/0);
  }
  const std::vector<std::string> replaced = mpi::apply(mpi::starter_interface_variables(interfaces));
  if (!replaced.empty()) {
    log::info(cat("--net-if takes the place of ", join(replaced, " "), " in mpirun's environment"));
  }
  setenv("YOLODIST_OWN_MPIRUN", "1", /*overwrite=*/1);  // the ranks need not warn of its ways with signals
  std::vector<std::string> shown = command;
  for (std::string& word : shown) {
    word = cli::shell_word(word);
  }
  log::info(cat("starting ", ranks, " ranks: ", join(shown, " ")));

  supervise::SignalQueue signals(stop_signal);
  const pid_t pid = start(mpirun, command);
  if (pid < 0) {
    throw InternalError(cat("cannot start mpirun: ", errno_text(errno)));
  }
  int interrupts = 0;
  while (true) {
    pollfd descriptor = {signals.descriptor(), POLLIN, 0};
    poll(&descriptor, 1, -1);
    while (const std::optional<int> number = signals.next()) {
      int status = 0;
      if (*number == SIGCHLD) {
        if (waitpid(pid, &status, WNOHANG) == pid) {
          return interrupts > 1 ? 128 + SIGINT : exit_code_of(status);
        }
        continue;
      }
      interrupts += *number == SIGINT ? 1 : 0;
      kill(pid, interrupts > 1 ? SIGTERM : SIGUSR1);
    }
  }
}

}  // namespace yolodist::commands
