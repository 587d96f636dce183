// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "common/plan/planning.h"

// What make_plan and next_plan share.
namespace yolodist::plan {

// Whether the same plan is right for both.
bool same_kind(const Device& a, const Device& b);

std::vector<int64_t> budgets_of(const Request& request);
// The request with its default validation batch filled in.
Request resolved_validation(const Request& request, int global_batch);

// A plan's ranks: each takes the fastest choice within its budget, then the groups are shared.
Plan build_plan(Planning& planning, int global_batch, int bn_group, const std::vector<int64_t>& budgets);

// Shares the plan's groups among the ranks that may take any, each by its choice, and fills in the ranks.
void settle_groups(Planning& planning, Plan& plan, const std::vector<Choice>& choices,
                   const std::vector<bool>& may_take);

}  // namespace yolodist::plan
