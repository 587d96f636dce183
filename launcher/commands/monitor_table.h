// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "launcher/commands/run_reader.h"

namespace yolodist::commands {

// Where a table is shown.
struct Screen {
  int columns = 0, rows = 0;  // 0 = no limit
  bool has_colours = false;
};

// The lines of `yolodist monitor`, without line ends. What does not fit on the screen is cut off; ranks that
// do not fit are counted in the last line.
std::vector<std::string> monitor_table(const RunView& run, const Screen& screen);

}  // namespace yolodist::commands
