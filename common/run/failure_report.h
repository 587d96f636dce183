// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace yolodist::run {

// Why a rank ended; failures/attempt-A.rank-R.json, and a message between launchers.
struct FailureReport {
  int attempt = 0;  // how often workers had been started, from 0
  int rank = 0;
  std::string host;
  std::string what;   // what happened and where, one sentence
  std::string hint;   // what to do; may be empty
  std::string phase;  // "data", "forward", "backward", "reduce", "optimizer", "validation", "checkpoint", …
  int exit_code = 0;  // of common/base/exit_code.h, or 128 + signal
  int64_t time_ns = 0;  // since 1970, the host's clock
  // Of an out-of-memory: what common/run/memory_report.h describes. null = none; the key is left out then.
  nlohmann::json memory = nullptr;
  // Of a collective between devices that failed: what worker/comm/collective_trace.h describes. null = none.
  nlohmann::json collectives = nullptr;

  bool operator==(const FailureReport&) const = default;
};

// Begins with schema: 1. Reading ignores unknown keys; throws DataError naming `where` and a key that is
// missing or of the wrong type.
nlohmann::ordered_json to_json(const FailureReport& report);
FailureReport failure_report_from_json(const nlohmann::json& document, const std::string& where);

// Whole or not at all; makes the folder. Throws StorageError.
void write_failure_report(const std::filesystem::path& file, const FailureReport& report);
// Throws DataError naming the file.
FailureReport read_failure_report(const std::filesystem::path& file);

// The report that explains the job's end: when one rank fails, the others soon report the loss of their peer.
// So a specific code wins over a bug (70), a bug over a lost peer (76), anything over a regular end (0, 75);
// then the earliest, then the lowest rank. nullptr if there are no reports.
const FailureReport* earliest_most_specific(const std::vector<FailureReport>& reports);

}  // namespace yolodist::run
