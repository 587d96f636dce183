// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace yolodist::commands {

// `yolodist stop …`: leaves a file in the run directory, which rank 0's launcher looks for. Throws
// UsageError, DataError, StorageError.
int stop(const std::vector<std::string>& words);

}  // namespace yolodist::commands
