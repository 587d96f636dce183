// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace yolodist {

// "SIGUSR1"; "signal 42" for one without a common name.
std::string signal_name(int number);

// The signal that --stop-signal names: "SIGHUP", "hup", "RTMIN+3". Throws UsageError for one that is unknown,
// or that means something else already (SIGKILL, SIGCHLD, SIGCONT, a crash).
int stop_signal_number(std::string_view name);

}  // namespace yolodist
