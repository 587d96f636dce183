// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "common/run/run_directory.h"

namespace yolodist::commands {

// What is found out about a run or a log: lines for the console, and the same as a document.
struct Diagnosis {
  std::vector<std::string> lines;
  nlohmann::ordered_json document;
};

// Of a run directory of yolodist. Everything but run.yaml may be missing, or half written. Throws DataError
// when run.yaml cannot be read.
Diagnosis diagnose_run(const run::RunDirectory& directory);

// Of what another training program wrote to the console. Throws DataError when it cannot be read or is not
// text.
Diagnosis diagnose_log(const std::filesystem::path& file);

// `yolodist diagnose …`: reads files only: no MPI, no device. Throws UsageError, DataError.
int diagnose(const std::vector<std::string>& words);

}  // namespace yolodist::commands
