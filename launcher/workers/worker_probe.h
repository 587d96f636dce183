// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <filesystem>
#include <string>

namespace yolodist::workers {

// Whether a worker program can be started here: whether the system finds its libraries.
struct ProbeResult {
  bool runs = false;
  std::string problem;  // what it or the loader said, one line
};

// Starts it without the arguments of a launcher: it says so and ends. Ended by force after `limit`.
ProbeResult probe_worker(const std::filesystem::path& program, std::chrono::seconds limit);

}  // namespace yolodist::workers
