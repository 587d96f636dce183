// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/cli/slurm_command_line.h"

#include <algorithm>
#include <sstream>
#include <string_view>

#include "common/base/duration.h"
#include "common/base/error.h"
#include "common/base/text.h"
#include "launcher/cli/description.h"
#include "launcher/cli/train_command_line.h"

namespace yolodist::cli {
namespace {

namespace po = boost::program_options;

constexpr int most_gpus_a_node = 64;       // more is a mistake: --gpus of all nodes
constexpr int most_signal_before = 65535;  // source: sbatch(1), --signal

// Options whose text on the command line is not yet their value.
struct SlurmTexts {
  std::string time = "24:00:00";
};

po::options_description describe(SlurmCommandLine& line, SlurmTexts& texts) {
  SlurmJob& job = line.job;
  po::options_description asked = group("What is asked of SLURM");
  add(asked, "nodes", value(job.nodes, "N"), "nodes");
  add(asked, "gpus", value(job.gpus, "N"), "GPUs of each node; one rank (task) each");
  add(asked, "cpus-per-gpu", value(job.cpus_per_gpu, "N"), "cores of each rank");
  add(asked, "mem", text(job.mem, "SIZE"),
      "memory of each node as sbatch takes it, 200G; 0 = all of it; '' = the site's default");
  add(asked, "time", text(texts.time, "[D-]HH:MM:SS|90min"), "time limit");
  add(asked, "partition", text(job.partition, "NAME"), "'' = the site's default");
  add(asked, "account", text(job.account, "NAME"), "'' = the site's default");
  add(asked, "job-name", text(job.job_name, "NAME"), "name of the job and of its log");
  add(asked, "signal-before", value(job.signal_before_s, "SECONDS"),
      "how long before its end the job is told to save and stop");
  po::options_description started = group("How it is started");
  add(started, "launch", text(job.launch, "srun|mpirun"), "what starts the ranks in the job");
  add(started, "program", text(job.program, "PATH"),
      "yolodist as the nodes find it; '' = this program's path");
  add(started, "submit", flag(line.is_submitted), "give it to sbatch and print the number of the job");
  po::options_description all = group(
      "yolodist slurm [options] [-- options of train]\n\n"
      "Prints a batch script for SLURM that trains: a rank for each GPU, saved and requeued when it has to\n"
      "stop early, resumed by itself. Its own arguments are more options of train");
  all.add(asked).add(started).add(describe_other(line.wants_help, line.wants_version));
  return all;
}

const std::vector<RefusedOption>& refused_slurm_options() {
  constexpr const char* after =
      " before --. Options of train come after it: yolodist slurm --nodes 2 -- --data data.yaml";
  static const std::vector<RefusedOption> options = {
      {"data", after},
      {"weights", after},
      {"cfg", after},
      {"model", after},
      {"imgsz", after},
      {"img", after},
      {"batch", after},
      {"batch-size", after},
      {"epochs", after},
      {"resume", after},
      {"device", after},
      {"ranks", " in slurm. There is a rank for each GPU: --nodes N --gpus N."},
      {"gpus-per-node", " in slurm. It is --gpus N."},
  };
  return options;
}

// They become words of an #SBATCH line, which knows no quotes worth the name.
void require_plain(const char* option, const std::string& value) {
  constexpr std::string_view allowed =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=.,:";
  require(value.find_first_not_of(allowed) == std::string::npos, option, cat("'", value, "'"),
          "letters, digits and _-+=.,:");
}

void require_memory(const std::string& value) {
  const size_t digits = std::min(value.find_first_not_of("0123456789"), value.size());
  const std::string_view unit = std::string_view(value).substr(digits);
  require(value.empty() ||
              (digits > 0 && (unit.empty() || (unit.size() == 1 && unit.find_first_of("KMGT") == 0))),
          "mem", cat("'", value, "'"), "a whole number with K, M, G or T");
}

void check(const SlurmJob& job) {
  require_at_least("nodes", job.nodes, 1);
  require_at_least("gpus", job.gpus, 1);
  require(job.gpus <= most_gpus_a_node, "gpus", std::to_string(job.gpus),
          cat("at most ", most_gpus_a_node, ": those of one node, not of all").c_str());
  require_at_least("cpus-per-gpu", job.cpus_per_gpu, 1);
  require(job.time >= std::chrono::minutes(1), "time", to_string(job.time), "at least 1:00");
  require(job.signal_before_s >= 1 && job.signal_before_s <= most_signal_before, "signal-before",
          std::to_string(job.signal_before_s), cat("1 to ", most_signal_before).c_str());
  require(std::chrono::seconds(job.signal_before_s) < job.time, "signal-before",
          std::to_string(job.signal_before_s), cat("less than --time, ", to_string(job.time)).c_str());
  require(job.launch == "srun" || job.launch == "mpirun", "launch", cat("'", job.launch, "'"),
          "srun or mpirun");
  require_memory(job.mem);
  require_plain("partition", job.partition);
  require_plain("account", job.account);
  require_plain("job-name", job.job_name);
  require(!job.job_name.empty(), "job-name", "''", "a name");
}

// Returns what it asks for.
config::TrainOptions check_train(const std::vector<std::string>& words) {
  const TrainCommandLine train = parse_train(words);
  if (train.wants_help || train.wants_version) {
    throw UsageError("--help and --version are no options for a job");
  }
  if (train.given.contains("ranks")) {
    throw UsageError("--ranks after --: the ranks of the job are SLURM's",
                     "Say --nodes N --gpus N before --.");
  }
  return train.options;
}

}  // namespace

SlurmCommandLine parse_slurm(const std::vector<std::string>& words) {
  SlurmCommandLine line;
  SlurmTexts texts;
  const auto border = std::find(words.begin(), words.end(), "--");
  Grammar grammar;
  grammar.command = "slurm";
  grammar.refused = refused_slurm_options();
  parse({words.begin(), border}, describe(line, texts), grammar);
  if (line.wants_help || line.wants_version) {
    return line;
  }
  line.job.time = parse_duration(texts.time, "--time");
  check(line.job);
  if (border != words.end()) {
    line.job.train_words = {border + 1, words.end()};
    line.job.net_if = check_train(line.job.train_words).net_if;
  }
  return line;
}

std::string slurm_help() {
  SlurmCommandLine line;
  SlurmTexts texts;
  std::ostringstream stream;
  stream << describe(line, texts);
  stream << "\nExit codes: 0 printed or submitted, 64 usage, 69 no sbatch here, or it refused the job.\n";
  return stream.str();
}

}  // namespace yolodist::cli
