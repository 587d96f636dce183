// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "launcher/cli/slurm_command_line.h"

namespace yolodist::commands {

// The batch script of that job. cluster/train.sbatch and train_multinode.sbatch are such scripts, word for
// word (tests/unit/launcher/commands/slurm_test.cpp); cluster/README.md says why each line is there.
std::string slurm_script(const cli::SlurmJob& job);

}  // namespace yolodist::commands
