// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

namespace yolodist::mpi {

// The names in what `srun --mpi=list` prints: "pmix", "pmi2", "none", in its order.
std::vector<std::string> read_srun_offers(std::string_view output);

// Asks `program` (srun, found on PATH) and reads them. Empty if it is not there, fails, or does not answer
// within `limit`; then it is ended. Never throws. Before MPI_Init.
std::vector<std::string> ask_srun_offers(const std::string& program, std::chrono::milliseconds limit);

}  // namespace yolodist::mpi
