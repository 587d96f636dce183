// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/cli/stop_command_line.h"

#include <sstream>

#include "launcher/cli/description.h"

namespace yolodist::cli {
namespace {

namespace po = boost::program_options;

po::options_description describe(StopCommandLine& line) {
  po::options_description meant = group("Which run");
  add(meant, "project", text(line.project, "DIR"), "where RUN is looked for by its name");
  po::options_description all = group(
      "yolodist stop [RUN] [options]\n\n"
      "Asks a training run to save and stop after the iteration that runs, as SIGUSR1 to one of its\n"
      "ranks does, from any host that sees the run directory. RUN is a run directory, or a name inside\n"
      "the project; the newest where it is missing");
  all.add(meant).add(describe_other(line.wants_help, line.wants_version));
  return all;
}

}  // namespace

StopCommandLine parse_stop(const std::vector<std::string>& words) {
  StopCommandLine line;
  const po::options_description description = describe(line);
  const Grammar grammar{.command = "stop", .known = {}, .aliases = {}, .refused = {}, .word = "RUN"};
  for (const GivenOption& option : parse(words, description, grammar)) {
    if (option.name.empty()) {
      line.run = option.values[0];
    }
  }
  return line;
}

std::string stop_help() {
  StopCommandLine line;
  std::ostringstream stream;
  stream << describe(line);
  stream << "\nExit codes: 0 asked, 64 usage, 65 no such run, 74 its directory cannot be written.\n";
  return stream.str();
}

}  // namespace yolodist::cli
