// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/base/signal_names.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <csignal>

#include "common/base/error.h"
#include "common/base/text.h"

namespace yolodist {
namespace {

struct Named {
  const char* name;  // without SIG
  int number;
  bool can_ask_to_stop;
};

constexpr std::array<Named, 21> signals = {{
    {"HUP", SIGHUP, true},    {"INT", SIGINT, true},    {"QUIT", SIGQUIT, true},     {"ILL", SIGILL, false},
    {"ABRT", SIGABRT, false}, {"BUS", SIGBUS, false},   {"FPE", SIGFPE, false},      {"KILL", SIGKILL, false},
    {"SEGV", SIGSEGV, false}, {"PIPE", SIGPIPE, false}, {"TERM", SIGTERM, true},     {"USR1", SIGUSR1, true},
    {"USR2", SIGUSR2, true},  {"ALRM", SIGALRM, true},  {"VTALRM", SIGVTALRM, true}, {"XCPU", SIGXCPU, true},
    {"XFSZ", SIGXFSZ, false}, {"PWR", SIGPWR, true},    {"CHLD", SIGCHLD, false},    {"CONT", SIGCONT, false},
    {"STOP", SIGSTOP, false},
}};

}  // namespace

std::string signal_name(int number) {
  for (const Named& signal : signals) {
    if (signal.number == number) {
      return cat("SIG", signal.name);
    }
  }
  if (number >= SIGRTMIN && number <= SIGRTMAX) {
    return number == SIGRTMIN ? "SIGRTMIN" : cat("SIGRTMIN+", number - SIGRTMIN);
  }
  return cat("signal ", number);
}

int stop_signal_number(std::string_view name) {
  std::string word(name);
  std::transform(word.begin(), word.end(), word.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  if (word.starts_with("SIG")) {
    word.erase(0, 3);
  }
  for (const Named& signal : signals) {
    if (word == signal.name && signal.can_ask_to_stop) {
      return signal.number;
    }
  }
  constexpr std::string_view realtime = "RTMIN";
  if (word.starts_with(realtime)) {
    const std::string_view rest = std::string_view(word).substr(realtime.size());
    int offset = 0;
    const char* begin = rest.data() + (rest.starts_with("+") ? 1 : 0);
    const auto [end, error] = std::from_chars(begin, rest.data() + rest.size(), offset);
    const bool is_number = error == std::errc() && end == rest.data() + rest.size() && rest.size() > 1;
    if ((rest.empty() || is_number) && offset >= 0 && SIGRTMIN + offset <= SIGRTMAX) {
      return SIGRTMIN + offset;
    }
  }
  std::string allowed;
  for (const Named& signal : signals) {
    allowed += signal.can_ask_to_stop ? cat(signal.name, " ") : "";
  }
  throw UsageError(cat("--stop-signal '", name, "' is not a signal that can ask to stop"),
                   cat("One of ", allowed, "or RTMIN+N."));
}

}  // namespace yolodist
