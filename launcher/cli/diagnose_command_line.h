// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace yolodist::cli {

// What `yolodist diagnose …` asks for.
struct DiagnoseCommandLine {
  std::string subject;  // a run directory, a name inside `project`, or a log file; "" = the newest run
  std::string project = "runs/train";
  bool json = false;
  bool wants_help = false;
  bool wants_version = false;
};

// `words` are those after the command. Throws UsageError.
DiagnoseCommandLine parse_diagnose(const std::vector<std::string>& words);

std::string diagnose_help();

}  // namespace yolodist::cli
