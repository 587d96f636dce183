// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <exception>
#include <memory>
#include <thread>
#include <vector>

#include "worker/comm/communicator.h"

namespace yolodist::comm {

// Ranks that are threads of this process: each thread uses its own element. For tests of distributed logic.
// Reductions add in rank order, so results are equal on all ranks and from run to run. A call whose size or
// kind differs from that of the other ranks fails on every rank with InternalError.
std::vector<std::unique_ptr<Communicator>> make_local_communicators(int world_size);

// Runs `body(communicator)` on `world_size` threads and waits for them; rethrows the first failure in rank
// order.
template <typename Body>
void run_local_ranks(int world_size, const Body& body) {
  const std::vector<std::unique_ptr<Communicator>> communicators = make_local_communicators(world_size);
  std::vector<std::exception_ptr> failures(communicators.size());
  std::vector<std::thread> threads;
  for (size_t i = 0; i < communicators.size(); ++i) {
    threads.emplace_back([&, i] {
      try {
        body(*communicators[i]);
      } catch (...) {
        failures[i] = std::current_exception();
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  for (const std::exception_ptr& failure : failures) {
    if (failure) {
      std::rethrow_exception(failure);
    }
  }
}

}  // namespace yolodist::comm
