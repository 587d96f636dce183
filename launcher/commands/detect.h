// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "common/config/detect_options.h"
#include "common/protocol/messages.h"

namespace yolodist::commands {

// `yolodist detect`, as train() is `yolodist train`.
int detect(const std::vector<std::string>& words);

// Checks the files that the options name, makes the run directory with its run.yaml and says what the workers
// are told. Only rank 0 calls it. Throws UsageError, DataError, StorageError.
protocol::Start prepare_detect(config::DetectOptions options, int world_size);

}  // namespace yolodist::commands
