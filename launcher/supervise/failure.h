// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "common/base/error.h"
#include "common/protocol/messages.h"
#include "common/run/failure_report.h"
#include "launcher/workers/worker_process.h"

namespace yolodist::supervise {

int64_t now_ns();

// What is known of a worker when it has ended.
struct WorkerRecord {
  int attempt = 0, rank = 0;
  std::string host;
  bool said_hello = false;
  protocol::Progress last_progress;
  std::optional<run::FailureReport> own_report;  // from its failure message
  std::optional<ExitCode> done;                  // from its done message
};

// The report of an ended worker, or nothing if it ended in order (done said so, and the code agrees).
std::optional<run::FailureReport> report_of_end(const WorkerRecord& record, const workers::WorkerEnd& end);

// The report of something that went wrong in the launcher itself.
run::FailureReport report_of_error(const WorkerRecord& record, const Error& error);

}  // namespace yolodist::supervise
