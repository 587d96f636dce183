// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>

#include "common/protocol/messages.h"

namespace yolodist::train {

// What ties the loop to its launcher; a test gives its own.
struct LaunchLink {
  std::function<std::string()> stop_reason;  // "SIGUSR1"; "" while no stop is asked for here
  std::function<void(const protocol::Progress&)> send_progress;  // after each iteration
  // Samples of memory: from this rank to its launcher, and to rank 0 from the others (nullptr = no more).
  // Either may be empty.
  std::function<void(const protocol::Sample&)> send_sample = nullptr;
  std::function<void(std::function<void(const protocol::PeerSample&)>)> on_peer_sample = nullptr;
};

}  // namespace yolodist::train
