// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace yolodist::commands {

// `yolodist doctor …`: looks at this host. 0 if training can run here, else 69. Without MPI_Init. Throws
// UsageError.
int doctor(const std::vector<std::string>& words);

}  // namespace yolodist::commands
