// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "common/protocol/messages.h"

namespace yolodist::commands {

// A command that runs in workers, one a rank: train, val, detect.
struct Job {
  std::string command;             // "train"
  std::vector<std::string> words;  // those after it, for the ranks that mpirun is to start

  std::string device;  // the options of the same names
  int ranks = 0;
  int threads = 0;
  std::string net_if;
  std::string worker_prefix;
  bool verbose = false;
  bool json = false;  // standard output is for the result's document
  int max_restarts = 0;
  std::string time_limit;  // as in train's options
  std::string stop_signal;

  // Checks what the command line names, makes the run directory and says what every worker is told; rank and
  // place are filled in later. Rank 0 alone calls it, once all ranks are there; what it throws ends the job
  // on all of them alike.
  std::function<protocol::Start(int world_size)> prepare;
};

// Runs it, on one rank of a job or alone: finds the devices, starts mpirun where several ranks are wanted and
// none are there, agrees with the other ranks, and supervises this rank's worker to its end. Returns the exit
// code. Throws Error for what goes wrong before MPI is there; then nothing has been started.
int run_job(const Job& job);

// For --help and --version: on standard output; returns 0.
int print(const std::string& text);
int print_version();

// What a command does with its command line once that is read (cli::TrainCommandLine, …): --help, --version,
// else the job. `words` and `prepare` as in Job.
template <typename CommandLine>
int run_command(const std::string& command, const std::vector<std::string>& words, const CommandLine& line,
                std::string (*help)(), const std::function<protocol::Start(int world_size)>& prepare) {
  if (line.wants_help) {
    return print(help());
  }
  if (line.wants_version) {
    return print_version();
  }
  bool json = false;
  if constexpr (requires { line.options.json; }) {
    json = line.options.json;
  }
  int max_restarts = 0;
  if constexpr (requires { line.options.max_restarts; }) {
    max_restarts = line.options.max_restarts;
  }
  std::string time_limit, stop_signal;
  if constexpr (requires { line.options.time_limit; }) {
    time_limit = line.options.time_limit;
    stop_signal = line.options.stop_signal;
  }
  return run_job({.command = command,
                  .words = words,
                  .device = line.options.device,
                  .ranks = line.options.ranks,
                  .threads = line.options.threads,
                  .net_if = line.options.net_if,
                  .worker_prefix = line.options.worker_prefix,
                  .verbose = line.options.verbose,
                  .json = json,
                  .max_restarts = max_restarts,
                  .time_limit = time_limit,
                  .stop_signal = stop_signal,
                  .prepare = prepare});
}

}  // namespace yolodist::commands
