// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace yolodist::cli {

// What `yolodist stop …` asks for.
struct StopCommandLine {
  std::string run;  // a run directory, or a name inside `project`; "" = the newest
  std::string project = "runs/train";
  bool wants_help = false;
  bool wants_version = false;
};

// `words` are those after the command. Throws UsageError.
StopCommandLine parse_stop(const std::vector<std::string>& words);

std::string stop_help();

}  // namespace yolodist::cli
