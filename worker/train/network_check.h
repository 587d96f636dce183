// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <chrono>
#include <string>

#include "worker/comm/communicator.h"

namespace yolodist::train {

struct Training;

// An all-reduce as gradients are reduced, before there are any.
struct NetworkCheck {
  static constexpr int rounds = 5;  // that are timed, after one that connects
  static constexpr int64_t bytes = 1 << 20;
  std::chrono::milliseconds limit{20000};      // of each
  std::chrono::milliseconds patience{600000};  // until all ranks have come
};

struct NetworkSpeed {
  int ranks = 1, hosts = 1;
  double seconds = 0;           // of an all-reduce, the middle one of the rounds
  double bytes_per_second = 0;  // bus bandwidth as NVIDIA's nccl-tests have it: 2 (n - 1) / n of the bytes
};

// Reduces `check.bytes` over `gradients`, in memory of `device`. `host` brings the ranks together first, so
// that one that is still busy is not taken for lost. Collective. Throws PeerLost, which names --net-if, when
// an all-reduce is not done in time or fails, and InternalError when a sum is wrong.
NetworkSpeed measure_network(comm::Communicator& host, comm::Communicator& gradients, at::Device device,
                             const NetworkCheck& check = {});

// "network: 1 MiB all-reduce over 4 ranks on 2 hosts in 3.1 ms, 0.507 GB/s"
std::string to_string(const NetworkSpeed& speed);

// The same for a training that has several ranks; rank 0 says how fast it is.
void check_network(Training& t);

}  // namespace yolodist::train
