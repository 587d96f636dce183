// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace yolodist::run {

// What an exit code of yolodist, or of a shell that reports a signal, says about a run.
struct ExitMeaning {
  std::string what;         // "killed by signal 9 (SIGKILL), …"
  std::string what_now;     // one sentence
  bool may_resume = false;  // nothing has to be changed first for --resume to make sense
};
ExitMeaning meaning_of(int exit_code);

}  // namespace yolodist::run
