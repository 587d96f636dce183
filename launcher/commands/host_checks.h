// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "launcher/cli/version.h"
#include "launcher/device/cuda_inventory.h"
#include "launcher/device/host_facts.h"
#include "launcher/workers/worker_probe.h"

namespace yolodist::commands {

enum class CheckLevel { ok, warn, bad };  // bad: training cannot run here

// One thing looked at.
struct HostCheck {
  CheckLevel level = CheckLevel::ok;
  std::string name;      // "driver", "shared memory", …
  std::string text;      // what is there
  std::string what_now;  // "" where nothing is to be done
};

// All that doctor has found out, before it is judged.
struct Situation {
  device::HostFacts host;
  device::CudaInventory inventory;
  std::string device;  // asked for, as on the command line
  cli::BuildVersions versions;
  std::string mpi;                    // the library's own text
  std::optional<std::string> mpirun;  // the program; nothing = not found
  std::string worker_program;         // "" = not found
  std::string worker_problem;         // why not found
  workers::ProbeResult worker;        // where it was found
  std::string share_problem;          // "" = the shipped files are there
};

// In a fixed order. Nothing here asks the machine.
std::vector<HostCheck> judge(const Situation& situation);

const char* name_of(CheckLevel level);
// A line, and a second one with what to do if there is something.
std::string check_text(const HostCheck& check);

// What of the host's memory is left for this job or container.
Bytes memory_left(const device::HostFacts& host);

}  // namespace yolodist::commands
