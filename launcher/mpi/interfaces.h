// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "launcher/mpi/launch_environment.h"

namespace yolodist::mpi {

// How an MPI is told by environment variables which network interfaces to use. It concerns TCP only: where
// MPI has a faster way (shared memory, InfiniBand by UCX), it takes that. Those of ranks were seen to work
// with Open MPI 4.1.4 and 5.0.11, and with MPICH 5.0.2 over libfabric.
struct InterfaceVariables {
  std::vector<std::pair<std::string, std::string>> set;  // name, value
  std::vector<std::string> removed;                      // that contradict them
};

// For a rank, before MPI_Init: its connections to other ranks. Too late for those of the starter and its
// daemons, which are there already.
InterfaceVariables rank_interface_variables(const std::vector<std::string>& interfaces,
                                            const Library& library = this_library());
// For mpirun or mpiexec, before it is started: its connections to its daemons on other hosts. MPICH takes the
// first interface only.
InterfaceVariables starter_interface_variables(const std::vector<std::string>& interfaces,
                                               const Library& library = this_library());

// Changes this process's environment. Returns what stood there and said otherwise, "NAME=value".
std::vector<std::string> apply(const InterfaceVariables& variables);

}  // namespace yolodist::mpi
