// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace yolodist::commands {

// `yolodist --ranks N` without mpirun: runs this program again under mpirun, with the same words, and returns
// the exit code. SIGINT, SIGTERM, SIGUSR1, SIGUSR2 and `stop_signal` (0 = none) reach the ranks as SIGUSR1,
// the request to save and stop: mpirun itself would give them one second. A second SIGINT ends mpirun. mpirun
// ends with this process. What connects mpirun with its daemons are `interfaces`, if there are any. Throws
// DeviceUnavailable when there is no mpirun.
int run_under_mpirun(int ranks, const std::vector<std::string>& words, int stop_signal,
                     const std::vector<std::string>& interfaces);

}  // namespace yolodist::commands
