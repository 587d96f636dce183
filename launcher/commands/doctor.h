// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace yolodist::commands {

// `yolodist doctor …`: looks at this host, without MPI_Init; under mpirun or srun at the whole allocation. 0
// if training can run here, 69 if not, 76 if a rank does not answer. Throws UsageError.
int doctor(const std::vector<std::string>& words);

}  // namespace yolodist::commands
