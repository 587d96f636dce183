// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/supervise/failure.h"

#include <chrono>
#include <csignal>

#include "common/base/signal_names.h"
#include "common/base/text.h"

namespace yolodist::supervise {
namespace {

std::string where_it_was(const WorkerRecord& record) {
  if (!record.said_hello) {
    return " while starting";
  }
  const protocol::Progress& at = record.last_progress;
  if (at.epoch == 0 && at.iteration == 0) {
    return "";
  }
  return cat(" in epoch ", at.epoch, ", iteration ", at.iteration);
}

std::string hint_for_signal(int number) {
  switch (number) {
    case SIGKILL:
      return "Nothing in the program does this: someone sent it, or the kernel ended it for lack of host "
             "memory "
             "(dmesg, or the job's memory limit).";
    case SIGSEGV:
    case SIGBUS:
    case SIGILL:
    case SIGFPE:
    case SIGABRT:
      return "A crash is a bug; run again with --worker-prefix 'gdb -batch -ex run -ex bt --args' for a "
             "backtrace.";
    default:
      return "";
  }
}

}  // namespace

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::optional<run::FailureReport> report_of_end(const WorkerRecord& record, const workers::WorkerEnd& end) {
  if (record.own_report) {
    return record.own_report;
  }
  const bool ended_in_order = record.done && end.signal_number == 0 && to_int(*record.done) == end.exit_code;
  if (ended_in_order) {
    return std::nullopt;
  }
  run::FailureReport report;
  report.attempt = record.attempt;
  report.rank = record.rank;
  report.host = record.host;
  report.time_ns = now_ns();
  report.exit_code = end.exit_code;
  if (end.signal_number != 0) {
    report.what = cat("the worker was killed by ", signal_name(end.signal_number), where_it_was(record));
    report.hint = hint_for_signal(end.signal_number);
  } else {
    report.what =
        cat("the worker ended with exit code ", end.exit_code, where_it_was(record), " without saying why");
    report.hint = "Its own output above, or logs/ in the run directory, may tell.";
    constexpr int loader_failed = 127;
    if (end.exit_code == loader_failed) {
      report.hint =
          "A shared library is missing (its output above; yolodist doctor). LibTorch: link it to "
          "lib/yolodist/libtorch beside bin/, or set LD_LIBRARY_PATH.";
    }
    if (end.exit_code == to_int(ExitCode::ok) || end.exit_code == to_int(ExitCode::state_saved)) {
      report.exit_code = to_int(ExitCode::internal);
    }
  }
  return report;
}

run::FailureReport report_of_error(const WorkerRecord& record, const Error& error) {
  run::FailureReport report;
  report.attempt = record.attempt;
  report.rank = record.rank;
  report.host = record.host;
  report.phase = "launcher";
  report.what = error.what();
  report.hint = error.hint();
  report.exit_code = to_int(error.exit_code());
  report.time_ns = now_ns();
  return report;
}

}  // namespace yolodist::supervise
