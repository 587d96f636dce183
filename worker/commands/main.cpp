// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include <ATen/Parallel.h>
#include <c10/util/Exception.h>

#include <chrono>
#include <csignal>

#include "common/base/error.h"
#include "common/base/host_name.h"
#include "common/base/log.h"
#include "common/base/text.h"
#include "worker/comm/collective_trace.h"
#include "worker/commands/detect.h"
#include "worker/commands/val.h"
#include "worker/link/link.h"
#include "worker/memory/budget.h"
#include "worker/train/assemble.h"
#include "worker/train/place.h"
#include "worker/train/recovery.h"
#include "worker/train/train_loop.h"

namespace yolodist {
namespace {

using namespace std::chrono_literals;

void configure_log(const protocol::Start& start, const run::RunDirectory& run) {
  const std::string prefix = cat("rank ", start.rank, ": ");
  // Other ranks speak only of errors; all that they say is in their own file.
  log::configure({.console_level = start.rank == 0 ? log::Level::info : log::Level::error,
                  .prefix = start.world_size > 1 ? prefix : "",
                  .console_to_stderr = start.command == "val" && start.val.json});
  log::open_file(run.rank_log(start.rank).string());
}

run::FailureReport report_of(const protocol::Start& start, ExitCode code, const std::string& what,
                             const std::string& hint) {
  run::FailureReport report;
  report.attempt = start.attempt;
  report.rank = start.rank;
  report.host = host_name();
  report.what = what;
  report.hint = hint;
  report.phase = start.command;
  report.exit_code = to_int(code);
  report.time_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(
                       std::chrono::system_clock::now().time_since_epoch())
                       .count();
  return report;
}

// Runs `body`; what it throws becomes a failure report for the launcher, and the exit code that belongs to
// it.
template <typename Body>
ExitCode reported(link::Link& link, const protocol::Start& start, Body body) {
  run::FailureReport report;
  try {
    return body();
  } catch (const train::MemoryExhausted& error) {
    report = report_of(start, error.exit_code(), error.what(), error.hint());
    report.memory = error.memory();
  } catch (const comm::CollectiveFailure& error) {
    report = report_of(start, error.exit_code(), error.what(), error.hint());
    report.collectives = error.collectives();
  } catch (const Error& error) {
    report = report_of(start, error.exit_code(), error.what(), error.hint());
  } catch (const c10::OutOfMemoryError& error) {
    report =
        report_of(start, ExitCode::out_of_memory, error.what_without_backtrace(), "Lower --batch or --img.");
  } catch (const c10::Error& error) {
    report = report_of(start, ExitCode::internal, error.what_without_backtrace(),
                       "This is a bug in yolodist; please report it.");
  } catch (const std::bad_alloc&) {
    report = report_of(start, ExitCode::out_of_memory, "the host has no memory left",
                       "Lower --batch or --workers.");
  } catch (const std::exception& error) {
    report =
        report_of(start, ExitCode::internal, error.what(), "This is a bug in yolodist; please report it.");
  }
  log::debug(cat("failure: ", report.what));
  link.send_failure(report);
  return static_cast<ExitCode>(report.exit_code);
}

ExitCode run_training(link::Link& link, const protocol::Start& start) {
  const std::unique_ptr<train::Training> training = train::assemble(start, train::place(link, start));
  const train::LaunchLink launch_link{
      .stop_reason = [&link] { return link.stop_reason(); },
      .send_progress = [&link](const protocol::Progress& progress) { link.send_progress(progress); },
      .send_sample = [&link](const protocol::Sample& sample) { link.send_sample(sample); },
      .on_peer_sample =
          [&link](link::Link::OnPeerSample receiver) { link.on_peer_sample(std::move(receiver)); }};
  return train::train(*training, launch_link);
}

ExitCode run_command(link::Link& link, const protocol::Start& start) {
  if (start.command == "train") {
    return run_training(link, start);
  }
  if (start.command == "val") {
    return commands::run_val(link, start);
  }
  if (start.command == "detect") {
    return commands::run_detect(link, start);
  }
  throw InternalError(cat("the command ", start.command, " is not in this worker"),
                      "yolodist and yolodist-worker are of different builds: install both from one build.");
}

int run_worker(int argc, char** argv) {
  memory::install_counting_allocator();
  link::Link link(link::parse_link_arguments(argc, argv));
  const protocol::Start start = link.wait_for_start(Deadline::after(120s));
  configure_log(start, {start.run_directory});
  at::set_num_threads(start.threads);
  const ExitCode code = reported(link, start, [&] { return run_command(link, start); });
  if (code == ExitCode::ok || code == ExitCode::state_saved) {
    link.send_done(code);
  }
  return to_int(code);
}

}  // namespace
}  // namespace yolodist

int main(int argc, char** argv) {
  try {
    return yolodist::run_worker(argc, argv);
  } catch (const yolodist::Error& error) {
    yolodist::log::error(error.one_line());
    return yolodist::to_int(error.exit_code());
  } catch (const std::exception& error) {
    yolodist::log::error(error.what());
    return yolodist::to_int(yolodist::ExitCode::internal);
  }
}
