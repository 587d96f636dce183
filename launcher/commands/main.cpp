// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <vector>

#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/text.h"
#include "launcher/commands/detect.h"
#include "launcher/commands/diagnose.h"
#include "launcher/commands/doctor.h"
#include "launcher/commands/job.h"
#include "launcher/commands/monitor.h"
#include "launcher/commands/plan.h"
#include "launcher/commands/slurm.h"
#include "launcher/commands/stop.h"
#include "launcher/commands/train.h"
#include "launcher/commands/val.h"

namespace yolodist {
namespace {

// Every rank of a job finds the same mistake; one says it.
bool speaks() {
  for (const char* name : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"}) {
    if (const char* rank = std::getenv(name); rank != nullptr) {
      return std::string_view(rank) == "0";
    }
  }
  return true;
}

struct Command {
  const char* name;
  int (*run)(const std::vector<std::string>& words);
  const char* purpose;
};
constexpr std::array<Command, 9> known_commands = {{
    {"train", commands::train, "trains a model; the command where none is named"},
    {"val", commands::val, "validates a checkpoint: precision, recall, mAP, speed"},
    {"detect", commands::detect, "finds objects in pictures"},
    {"plan", commands::plan, "says what a training needs of each device's memory"},
    {"slurm", commands::slurm, "prints or submits a batch script for SLURM that trains"},
    {"stop", commands::stop, "asks a run to save and stop, from any host"},
    {"monitor", commands::monitor, "shows the memory of every rank of a run, live"},
    {"diagnose", commands::diagnose, "says what happened to a run, or what the log of another trainer means"},
    {"doctor", commands::doctor, "says whether training can run on this host"},
}};
constexpr std::array<const char*, 2> later_commands = {"export", "prune"};

std::string help() {
  std::string text = "yolodist [command] [options]\n\n";
  for (const Command& command : known_commands) {
    text += printf_string("  %-9s%s\n", command.name, command.purpose);
  }
  return text +
         "\nyolodist COMMAND --help lists the options of a command, yolodist --version the versions of this\n"
         "program and its libraries. Several ranks: mpirun -np N yolodist …, srun, or --ranks N.\n"
         "Without any word: trains yolov5n at 1280 px on the shipped sample.\n";
}

int run_command(std::vector<std::string> words) {
  if (words.size() == 1 && (words[0] == "--help" || words[0] == "-h")) {
    return commands::print(help());
  }
  if (words.empty() || words.front().starts_with("-")) {
    return commands::train(words);
  }
  const std::string name = words.front();
  words.erase(words.begin());
  std::vector<std::string> names;
  for (const Command& command : known_commands) {
    if (name == command.name) {
      return command.run(words);
    }
    names.emplace_back(command.name);
  }
  const std::string hint = cat("There are ", join(names, ", "), "; yolodist --help.");
  if (std::find(later_commands.begin(), later_commands.end(), name) != later_commands.end()) {
    throw UsageError(cat("the command ", name, " is not there yet"), hint);
  }
  const std::string near = nearest(name, names);
  throw UsageError(cat("unknown command '", name, "'"),
                   near.empty() ? hint : cat("Did you mean ", near, "?"));
}

}  // namespace
}  // namespace yolodist

int main(int argc, char** argv) {
  try {
    return yolodist::run_command({argv + 1, argv + argc});
  } catch (const yolodist::Error& error) {
    if (yolodist::speaks()) {
      yolodist::log::error(error.one_line());
    }
    return yolodist::to_int(error.exit_code());
  } catch (const std::exception& error) {
    yolodist::log::error(yolodist::cat(error.what(), " (a bug in yolodist; please report it)"));
    return yolodist::to_int(yolodist::ExitCode::internal);
  }
}
