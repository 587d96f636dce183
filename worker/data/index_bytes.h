// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "worker/data/index.h"

namespace yolodist::data {

// An index as bytes for another rank of the same run: the same program on a machine of the same kind.
std::string to_bytes(const Index& index);
// Throws InternalError for bytes that to_bytes did not make.
Index from_bytes(std::string_view bytes);

// For a scan shared among ranks, each of which hands its part to all:
//   join_scan_parts(all_gather(scan_part(paths, rank, world_size, options)))
// is what scan_range of all paths gives, on every rank. A DataError (a class out of range) travels as bytes
// too, so that no rank waits for one that has failed: join_scan_parts then throws the first by path on all of
// them. Rank r scans the paths [count * r / world_size, count * (r + 1) / world_size).
std::string scan_part(const std::vector<std::filesystem::path>& paths, int rank, int world_size,
                      const ScanOptions& options);
Index join_scan_parts(std::span<const std::string> parts);

}  // namespace yolodist::data
