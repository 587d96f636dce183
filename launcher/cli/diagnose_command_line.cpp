// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/cli/diagnose_command_line.h"

#include <sstream>

#include "launcher/cli/description.h"

namespace yolodist::cli {
namespace {

namespace po = boost::program_options;

po::options_description describe(DiagnoseCommandLine& line) {
  po::options_description shown = group("Shown");
  add(shown, "project", text(line.project, "DIR"), "where RUN is looked for by its name");
  add(shown, "json", flag(line.json), "one JSON document on standard output");
  po::options_description all = group(
      "yolodist diagnose [RUN|LOGFILE] [options]\n\n"
      "Says what happened to a run: where it failed, how much memory was asked and who held it, plan "
      "against\n"
      "actual, what the exit code means, how to go on. RUN is a run directory, or a name inside the "
      "project;\n"
      "the newest where it is missing. LOGFILE is what another training program wrote to the console: known\n"
      "messages are explained, and a plan is made for what it tried to train. Only reads files");
  all.add(shown).add(describe_other(line.wants_help, line.wants_version));
  return all;
}

}  // namespace

DiagnoseCommandLine parse_diagnose(const std::vector<std::string>& words) {
  DiagnoseCommandLine line;
  const po::options_description description = describe(line);
  const Grammar grammar{.command = "diagnose", .known = {}, .aliases = {}, .refused = {}, .word = "RUN"};
  for (const GivenOption& option : parse(words, description, grammar)) {
    if (option.name.empty()) {
      line.subject = option.values[0];
    }
  }
  return line;
}

std::string diagnose_help() {
  DiagnoseCommandLine line;
  std::ostringstream stream;
  stream << describe(line);
  stream << "\nExit codes: 0 a diagnosis was made, also when nothing known was found; 64 usage; 65 no such "
            "run,\n"
            "or not a log.\n";
  return stream.str();
}

}  // namespace yolodist::cli
