// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "common/run/failure_report.h"
#include "common/run/run_directory.h"

namespace yolodist::commands {

// An out-of-memory that training went on from: failures/attempt-A.rank-R.memory-N.json.
struct MemoryEvent {
  std::string file;
  nlohmann::json memory;  // as common/run/memory_report.h describes it
};

// Devices that lost each other and were connected anew: failures/attempt-A.rank-R.link-N.json.
struct LinkEvent {
  std::string file;
  nlohmann::json report;  // docs/run_directory.md has its keys
};

struct LogLine {
  int rank = 0;
  std::string text;
};

// What a run directory holds about what went wrong. What cannot be read is left out and named in `unread`.
struct RunEvidence {
  std::vector<run::FailureReport> failures;  // earliest first
  std::vector<MemoryEvent> memory_events;    // by file name
  std::vector<LinkEvent> link_events;        // by file name
  nlohmann::json plan;                       // the last of plan.json; null if there is none
  std::vector<LogLine> log_lines;            // the last warnings and errors of each rank's log
  std::string last_words;                    // the last line of rank 0's log
  int64_t epochs_done = 0;                   // rows of results.csv
  std::vector<std::string> unread;

  // The report that explains the last end: the most specific of those written within ten minutes of the last
  // one.
  const run::FailureReport* main_failure() const;
};
RunEvidence read_evidence(const run::RunDirectory& directory);

}  // namespace yolodist::commands
