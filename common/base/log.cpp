// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/base/log.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>
#include <mutex>
#include <string>

#include "common/base/error.h"
#include "common/base/text.h"

namespace yolodist::log {
namespace {

struct State {
  std::mutex mutex;
  Level console_level = Level::info;
  std::string prefix;
  bool console_to_stderr = false;
  int file = -1;
  bool progress_shown = false;
};

State& state() {
  static State* the_state = new State;  // never destroyed: threads may log while the process ends
  return *the_state;
}

void write_whole(int descriptor, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(descriptor, text.data(), text.size());
    if (written < 0) {
      if (errno == EINTR) {
        continue;
      }
      return;  // a log that cannot be written must not stop the training
    }
    text.remove_prefix(static_cast<size_t>(written));
  }
}

std::string time_stamp() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  tm local{};
  localtime_r(&now.tv_sec, &local);
  char text[32];
  strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &local);
  return printf_string("%s.%03ld", text, now.tv_nsec / 1000000);
}

void write_line(Level level, std::string_view line) {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  static constexpr const char* names[] = {"debug", "info", "warning", "error"};
  if (s.file >= 0) {
    write_whole(s.file, cat(time_stamp(), " ", names[static_cast<int>(level)], " ", line, "\n"));
  }
  if (level < s.console_level) {
    return;
  }
  const bool is_problem = level >= Level::warning;
  const int console = is_problem || s.console_to_stderr ? STDERR_FILENO : STDOUT_FILENO;
  std::string text = s.progress_shown ? "\r\033[K" : "";
  s.progress_shown = false;
  if (is_problem) {
    text += cat(s.prefix, names[static_cast<int>(level)], ": ");
  }
  text += line;
  text += "\n";
  write_whole(console, text);
}

}  // namespace

void configure(const Setup& setup) {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  s.console_level = setup.console_level;
  s.prefix = setup.prefix;
  s.console_to_stderr = setup.console_to_stderr;
}

void open_file(std::string_view path) {
  State& s = state();
  const int file = ::open(std::string(path).c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (file < 0) {
    warning(cat("cannot open the log file ", path, ": ", errno_text(errno)));
    return;
  }
  const std::lock_guard lock(s.mutex);
  if (s.file >= 0) {
    ::close(s.file);
  }
  s.file = file;
}

void debug(std::string_view line) {
  write_line(Level::debug, line);
}
void info(std::string_view line) {
  write_line(Level::info, line);
}
void warning(std::string_view line) {
  write_line(Level::warning, line);
}
void error(std::string_view line) {
  write_line(Level::error, line);
}

void progress(std::string_view line) {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  const int console = s.console_to_stderr ? STDERR_FILENO : STDOUT_FILENO;
  if (s.console_level > Level::info || !::isatty(console)) {
    return;
  }
  write_whole(console, cat("\r\033[K", line));
  s.progress_shown = true;
}

}  // namespace yolodist::log
