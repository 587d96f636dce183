// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace yolodist::cli {

// A batch job of SLURM that trains.
struct SlurmJob {
  int nodes = 1;
  int gpus = 1;          // of each node, and as many ranks
  int cpus_per_gpu = 8;  // of each rank
  std::chrono::seconds time = std::chrono::hours(24);
  int signal_before_s = 180;                  // seconds before its end at which SLURM warns the job
  std::string partition{}, account{}, mem{};  // "" = the site's default
  std::string job_name = "yolodist";
  std::string launch = "srun";             // or mpirun
  std::string program{};                   // yolodist as the nodes find it; "" = the program that runs now
  std::vector<std::string> train_words{};  // options of train
  std::string net_if{};                    // the one among them
};

// What `yolodist slurm …` asks for.
struct SlurmCommandLine {
  SlurmJob job;
  bool is_submitted = false;
  bool wants_help = false;
  bool wants_version = false;
};

// `words` are those after the command; what comes after a word `--` are options of train, which are checked
// as train does. Throws UsageError.
SlurmCommandLine parse_slurm(const std::vector<std::string>& words);

std::string slurm_help();

}  // namespace yolodist::cli
