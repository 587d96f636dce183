// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace yolodist::commands {

// `yolodist train`, on one rank of a job or alone. `words` are those after the command. Returns the exit
// code. Throws Error for what goes wrong before MPI is there; then nothing has been started.
int train(const std::vector<std::string>& words);

}  // namespace yolodist::commands
