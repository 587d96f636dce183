// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/commands/train.h"

#include "launcher/cli/train_command_line.h"
#include "launcher/commands/job.h"
#include "launcher/commands/prepare_run.h"

namespace yolodist::commands {

int train(const std::vector<std::string>& words) {
  const cli::TrainCommandLine line = cli::parse_train(words);
  return run_command("train", words, line, cli::train_help,
                     [&line](int world_size) { return start_of(prepare_run(line, world_size)); });
}

}  // namespace yolodist::commands
