// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace yolodist::commands {

// `yolodist monitor …`: a table of a run's ranks and their memory, once a second on a terminal until the run
// is finished or the user ends it, else once. Reads files only: no MPI, no device. Throws UsageError,
// DataError.
int monitor(const std::vector<std::string>& words);

}  // namespace yolodist::commands
