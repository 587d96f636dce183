// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/plan/budgets.h"

#include <algorithm>

#include "common/base/bytes.h"
#include "common/base/error.h"
#include "common/base/text.h"

namespace yolodist::plan {

void set_budgets(std::vector<Device>& devices, const std::vector<int64_t>& asked,
                 const std::string& memory_reserve) {
  if (asked.size() != 1 && asked.size() != devices.size()) {
    throw UsageError(cat("--device-memory is for ", asked.size(), " ranks, but there are ", devices.size()),
                     "Give one for all, or one for each.");
  }
  for (size_t i = 0; i < devices.size(); ++i) {
    int64_t& budget = devices[i].budget_bytes;
    if (const int64_t wanted = asked[asked.size() == 1 ? 0 : i]; wanted > 0) {
      budget = budget > 0 ? std::min(budget, wanted) : wanted;
    }
    const int64_t reserve = parse_reserve(memory_reserve, {budget}, "--memory-reserve").count;
    if (reserve == 0 || budget == 0) {
      continue;  // without a budget there is nothing to keep free of it
    }
    if (reserve >= budget) {
      throw UsageError(cat("--memory-reserve ", memory_reserve, " leaves nothing of the ",
                           to_string(Bytes{budget}), " of ", devices[i].card),
                       "Keep less free.");
    }
    budget -= reserve;
  }
}

}  // namespace yolodist::plan
