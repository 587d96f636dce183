// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/commands/diagnose.h"

#include "common/base/text.h"
#include "launcher/cli/diagnose_command_line.h"
#include "launcher/commands/job.h"

namespace yolodist::commands {
namespace {

namespace fs = std::filesystem;

// run.yaml and checkpoints stand for their run; every other file is a log.
bool is_log(const fs::path& path) {
  std::error_code missing;
  return fs::is_regular_file(path, missing) && path.filename() != "run.yaml" && path.extension() != ".pt";
}

}  // namespace

int diagnose(const std::vector<std::string>& words) {
  const cli::DiagnoseCommandLine line = cli::parse_diagnose(words);
  if (line.wants_help) {
    return print(cli::diagnose_help());
  }
  if (line.wants_version) {
    return print_version();
  }
  const Diagnosis diagnosis = is_log(line.subject)
                                  ? diagnose_log(line.subject)
                                  : diagnose_run(run::find_run(line.subject, line.project, "diagnose"));
  if (line.json) {
    // Logs and messages may hold bytes that are not UTF-8.
    return print(diagnosis.document.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
  }
  return print(join(diagnosis.lines, "\n") + "\n");
}

}  // namespace yolodist::commands
