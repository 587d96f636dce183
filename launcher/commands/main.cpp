// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <vector>

#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/text.h"
#include "launcher/cli/train_command_line.h"
#include "launcher/cli/version.h"
#include "launcher/commands/train.h"
#include "launcher/mpi/launch_environment.h"

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

int run_command(std::vector<std::string> words) {
  if (words.empty() || words.front().starts_with("-")) {
    return commands::train(words);
  }
  const std::string command = words.front();
  words.erase(words.begin());
  if (command == "train") {
    return commands::train(words);
  }
  const std::vector<std::string>& later = cli::later_commands();
  if (std::find(later.begin(), later.end(), command) != later.end()) {
    throw UsageError(cat("the command ", command, " is not there yet"),
                     "There is train; yolodist train --help.");
  }
  std::vector<std::string> all = later;
  all.insert(all.begin(), "train");
  const std::string near = nearest(command, all);
  throw UsageError(cat("unknown command '", command, "'"),
                   near.empty() ? "There is train; yolodist train --help." : cat("Did you mean ", near, "?"));
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
