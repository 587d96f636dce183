// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "common/protocol/messages.h"
#include "worker/comm/communicator.h"
#include "worker/train/training.h"

namespace yolodist::train {

// Where a rank computes, and how it reaches the others.
struct Placement {
  at::Device device = at::kCPU;
  std::string device_name;                                  // "" on the CPU
  int64_t device_bytes = 0;                                 // that a card has; 0 on the CPU
  std::unique_ptr<comm::Communicator> communicator;         // host memory
  std::unique_ptr<comm::Communicator> device_communicator;  // CUDA only
  std::function<void()> reconnect_devices;                  // with it: as in Training
};

// Puts a training run together from what the launcher sent: reads data, model and weights, resumes where
// asked. The one place where options are read; every rank comes to the same result, which is compared. Throws
// UsageError, DataError, DeviceUnavailable, StorageError, PeerLost.
std::unique_ptr<Training> assemble(const protocol::Start& start, Placement placement);

}  // namespace yolodist::train
