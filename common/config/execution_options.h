// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace yolodist::config {

// How a command of several ranks is executed: never changes the result beyond rounding.
struct ExecutionOptions {
  ExecutionOptions() = default;  // no aggregate: g++ 12 warns of one that is a base (-Wmaybe-uninitialized)

  std::string device;         // "" = cuda if there is one, else cpu; cpu, cuda, 0, 0,1
  int ranks = 0;              // without mpirun: ranks to start; 0 = one a device
  int threads = 0;            // compute threads a rank; 0 = allowed cores / local ranks
  int workers = 8;            // decoding threads a rank, at most
  std::string net_if;         // interfaces or networks (CIDR) between hosts; "" = MPI's and NCCL's own choice
  std::string worker_prefix;  // command put before the worker (gdb, nsys)
};

}  // namespace yolodist::config
