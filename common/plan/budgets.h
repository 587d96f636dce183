// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/plan/planner.h"

namespace yolodist::plan {

// Budgets as --device-memory and --memory-reserve say. `asked`: one for all devices, or one each; 0 leaves a
// device what it has. Throws UsageError for another number of them, and when nothing is left.
void set_budgets(std::vector<Device>& devices, const std::vector<int64_t>& asked,
                 const std::string& memory_reserve);

}  // namespace yolodist::plan
