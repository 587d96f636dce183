// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <optional>
#include <string>
#include <variant>

#include "common/protocol/messages.h"
#include "common/run/failure_report.h"
#include "launcher/mpi/host_collectives.h"

namespace yolodist::supervise {

// What launchers tell each other, as JSON. Each carries the attempt; older ones are dropped.

// A worker failed: end yours. Sent at once, before that worker is gone.
struct PeerFailed {
  run::FailureReport report;
};

// The sender's worker is gone and the sender starts no more collectives. The last message of an attempt.
struct PeerEnded {
  int exit_code = 0;
  bool stop_was_asked = false;
  std::optional<run::FailureReport> report;  // of a failure
  std::array<mpi::HostCollectives::Progress, protocol::channel_count> channels;
};

// To rank 0, once a second: the memory of the sender's worker.
struct PeerSample {
  protocol::Sample sample;
};

// Once a second between rank 0 and each other rank: the sender is there.
struct PeerBeat {};

using LauncherMessage = std::variant<PeerFailed, PeerEnded, PeerSample, PeerBeat>;

struct LauncherEnvelope {
  int attempt = 0;
  LauncherMessage message;
};

std::string encode(int attempt, const LauncherMessage& message);
// Throws InternalError for what encode did not write (launchers of different builds).
LauncherEnvelope decode_launcher_message(const std::string& text);

}  // namespace yolodist::supervise
