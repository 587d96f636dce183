// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/commands/monitor.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>

#include "common/base/text.h"
#include "launcher/cli/monitor_command_line.h"
#include "launcher/commands/job.h"
#include "launcher/commands/monitor_table.h"

namespace yolodist::commands {
namespace {

Screen screen_of_terminal() {
  Screen screen{.columns = 80, .rows = 24, .has_colours = std::getenv("NO_COLOR") == nullptr};
  winsize size = {};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0) {
    screen.columns = size.ws_col;
    screen.rows = size.ws_row;
  }
  return screen;
}

void write_out(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

// Waits a second; true when the user ends it meanwhile.
bool is_ended_by_user() {
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGINT);
  sigaddset(&ends, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &ends, nullptr);
  const timespec second{1, 0};
  return sigtimedwait(&ends, nullptr, &second) > 0;
}

void watch(RunReader& reader) {
  size_t lines_before = 0;
  while (true) {
    const RunView& run = reader.refresh();
    const std::vector<std::string> lines = monitor_table(run, screen_of_terminal());
    // Over the lines of before, each to its end; then whatever was below them.
    std::string text = lines_before > 0 ? cat("\x1b[", lines_before, "A\r") : "";
    for (const std::string& line : lines) {
      text += line + "\x1b[K\n";
    }
    write_out(text + "\x1b[J");
    lines_before = lines.size();
    if (run.state == RunState::finished || is_ended_by_user()) {
      return;
    }
  }
}

}  // namespace

int monitor(const std::vector<std::string>& words) {
  const cli::MonitorCommandLine line = cli::parse_monitor(words);
  if (line.wants_help) {
    return print(cli::monitor_help());
  }
  if (line.wants_version) {
    return print_version();
  }
  RunReader reader(run::find_run(line.run, line.project, "watch"));
  if (!line.once && ::isatty(STDOUT_FILENO) != 0) {
    watch(reader);
  } else {
    write_out(join(monitor_table(reader.refresh(), Screen{}), "\n") + "\n");
  }
  return 0;
}

}  // namespace yolodist::commands
