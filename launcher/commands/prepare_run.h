// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "common/config/train_options.h"
#include "common/protocol/messages.h"
#include "launcher/cli/train_command_line.h"

namespace yolodist::commands {

// What all ranks train and where; settled by rank 0.
struct RunPlan {
  config::TrainOptions options;  // resolved: paths absolute or shipped names, bn_group > 0, ranks
  std::string run_directory;     // absolute
  std::string run_token;
  std::string share_folder;
  std::string resume_checkpoint;  // "" = a fresh start
};
// What the workers are told of it; rank and place are for each to fill in.
protocol::Start start_of(const RunPlan& plan);

// Resolves and checks everything that the command line names (data, hyp and model yaml, weights, shard),
// makes or finds the run directory and writes run.yaml. Only rank 0 calls it. Throws UsageError, DataError,
// StorageError.
RunPlan prepare_run(const cli::TrainCommandLine& line, int world_size);

// The parts of it that touch no run directory.
// Fills in sample paths, makes paths absolute, and checks the files. `line` is not a resume.
config::TrainOptions resolve_fresh(const cli::TrainCommandLine& line, int world_size);
// The stored options with what `line` says now. Throws UsageError when a recipe option differs.
config::TrainOptions resolve_resumed(const config::TrainOptions& stored, const cli::TrainCommandLine& line,
                                     int world_size);

}  // namespace yolodist::commands
