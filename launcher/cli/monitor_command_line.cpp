// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/cli/monitor_command_line.h"

#include <sstream>

#include "launcher/cli/description.h"

namespace yolodist::cli {
namespace {

namespace po = boost::program_options;

po::options_description describe(MonitorCommandLine& line) {
  po::options_description shown = group("Shown");
  add(shown, "project", text(line.project, "DIR"), "where RUN is looked for by its name");
  add(shown, "once", flag(line.once), "print the table once, as it is printed when this is no terminal");
  po::options_description all = group(
      "yolodist monitor [RUN] [options]\n\n"
      "Shows what every rank of a training run does with its memory, once a second; of a run that has\n"
      "ended, how it ended. RUN is a run directory, or a name inside the project; the newest where it\n"
      "is missing. Only reads files: it can be run anywhere, at any time, as often as wanted");
  all.add(shown).add(describe_other(line.wants_help, line.wants_version));
  return all;
}

}  // namespace

MonitorCommandLine parse_monitor(const std::vector<std::string>& words) {
  MonitorCommandLine line;
  const po::options_description description = describe(line);
  const Grammar grammar{.command = "monitor", .known = {}, .aliases = {}, .refused = {}, .word = "RUN"};
  for (const GivenOption& option : parse(words, description, grammar)) {
    if (option.name.empty()) {
      line.run = option.values[0];
    }
  }
  return line;
}

std::string monitor_help() {
  MonitorCommandLine line;
  std::ostringstream stream;
  stream << describe(line);
  stream << "\nExit codes: 0 shown, 64 usage, 65 no such run.\n";
  return stream.str();
}

}  // namespace yolodist::cli
