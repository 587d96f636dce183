// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "common/base/bytes.h"
#include "launcher/commands/host_checks.h"
#include "launcher/commands/placement.h"
#include "launcher/mpi/roll_call.h"

namespace yolodist::commands {

// What a rank has found out about itself.
struct RankReport {
  Place place;
  std::string device_problem, device_hint;  // why there is no device for it; "" = there is, or none is needed
  std::vector<HostCheck> checks;            // of its host, as doctor alone makes them
  std::optional<Bytes> memory_available;    // for this job or container
  std::optional<Bytes> shared_memory_free;  // /dev/shm; nothing = not there
  cli::BuildVersions versions;
  std::string mpi;
};
// "rank 1 on node2".
std::string rank_name(const Place& place);

// For the way to rank 0. Reading throws nlohmann's errors; it only sees what was written here.
std::string encode(const RankReport& report);
RankReport decode_report(const std::string& text);

// All that rank 0 knows before it is judged.
struct Allocation {
  std::string started_by;            // "mpirun", "srun"
  std::vector<RankReport> ranks;     // in rank order
  std::vector<mpi::PeerLink> links;  // a rank; rank 0's is empty
  int64_t reduced_bytes = 0;         // of the all-reduce
  double reduce_seconds = 0;
};

// What is wrong and what to do, of the whole allocation; ranks with the same finding share one. Nothing here
// asks a machine.
std::vector<HostCheck> judge(const Allocation& allocation);

// A row a rank, then the checks.
std::string allocation_text(const Allocation& allocation, const std::vector<HostCheck>& checks,
                            bool can_train);
nlohmann::ordered_json allocation_document(const Allocation& allocation, const std::vector<HostCheck>& checks,
                                           bool can_train);

}  // namespace yolodist::commands
