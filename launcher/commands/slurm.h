// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace yolodist::commands {

// `yolodist slurm …`: prints a batch script, or gives it to sbatch and prints the number of the job. Starts
// no MPI. Throws UsageError, DeviceUnavailable.
int slurm(const std::vector<std::string>& words);

}  // namespace yolodist::commands
