// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/commands/stop.h"

#include "common/base/atomic_file.h"
#include "common/base/host_name.h"
#include "common/base/text.h"
#include "common/run/run_directory.h"
#include "launcher/cli/stop_command_line.h"
#include "launcher/commands/job.h"

namespace yolodist::commands {

int stop(const std::vector<std::string>& words) {
  const cli::StopCommandLine line = cli::parse_stop(words);
  if (line.wants_help) {
    return print(cli::stop_help());
  }
  if (line.wants_version) {
    return print_version();
  }
  const run::RunDirectory run = run::find_run(line.run, line.project, "stop");
  write_file_atomically(run.stop_file(), cat("asked on ", host_name(), "\n"));
  return print(
      cat("asked ", run.root.string(), " to save and stop; if nothing runs there, nothing happens\n"));
}

}  // namespace yolodist::commands
