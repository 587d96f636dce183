// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <string>
#include <string_view>

namespace yolodist {

// Reads a time as SLURM writes it (minutes, MM:SS, HH:MM:SS, D-HH, D-HH:MM, D-HH:MM:SS; source: sbatch(1),
// --time) or with a unit: "90s", "10min", "24h", "2d". Throws UsageError naming `option`.
std::chrono::seconds parse_duration(std::string_view text, std::string_view option);

// "1:02:03", "2:05", "1-00:00:00": hours only where there are some, days likewise.
std::string to_string(std::chrono::seconds duration);

}  // namespace yolodist
