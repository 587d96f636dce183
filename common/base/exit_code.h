// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace yolodist {

// The exit codes of both programs; the only place where they are written down.
enum class ExitCode : int {
  ok = 0,
  usage = 64,           // bad flag or configuration
  data = 65,            // data set, label, weights or model yaml unreadable
  no_device = 69,       // no GPU, driver or library; "not built with"
  internal = 70,        // a bug of ours
  out_of_memory = 71,   // memory, nothing left to try
  storage = 74,         // disk full, rename failed, no room for shared memory
  state_saved = 75,     // stopped on request with a checkpoint: run me again
  peer_lost = 76,       // a deadline on a peer passed
  skipped_test = 77,    // tests only
  diverged = 80,        // loss not finite
};

constexpr int to_int(ExitCode code) {
  return static_cast<int>(code);
}

}  // namespace yolodist
