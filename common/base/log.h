// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace yolodist::log {

enum class Level { debug, info, warning, error };

// Where this process writes: a console that shows `console_level` and above, and, after open_file, a log file
// that takes everything with a time stamp. Thread-safe. Lines are whole: one write a line, so that the lines of
// several ranks do not mix.
struct Setup {
  Level console_level = Level::info;
  std::string_view prefix;      // before each console line of level warning and above, e.g. "rank 2: "
  bool console_to_stderr = false;  // with --json standard output holds the document only
};

void configure(const Setup& setup);
// Appends to `path`; a file that cannot be opened is reported once as a warning and then done without.
void open_file(std::string_view path);

void debug(std::string_view line);
void info(std::string_view line);
void warning(std::string_view line);
void error(std::string_view line);

// Overwrites the current console line if the console is a terminal, else prints nothing: a progress display.
void progress(std::string_view line);

}  // namespace yolodist::log
