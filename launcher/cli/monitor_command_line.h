// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace yolodist::cli {

// What `yolodist monitor …` asks for.
struct MonitorCommandLine {
  std::string run;  // a run directory, or a name inside `project`; "" = the newest
  std::string project = "runs/train";
  bool once = false;
  bool wants_help = false;
  bool wants_version = false;
};

// `words` are those after the command. Throws UsageError.
MonitorCommandLine parse_monitor(const std::vector<std::string>& words);

std::string monitor_help();

}  // namespace yolodist::cli
