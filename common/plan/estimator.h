// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include "common/plan/planner.h"

namespace yolodist::plan {

// The memory model as the planner sees it; tests put simple ones in its place.
struct Estimator {
  std::function<Estimate(const model_spec::ModelSpec&, const Workload&)> estimate = plan::estimate;
  std::function<Work(const model_spec::ModelSpec&, const Workload&)> work = work_of;
};

// As those of planner.h.
Plan make_plan(const Request& request, const Estimator& estimator);
std::optional<Plan> next_plan(const Request& request, const Plan& plan, const Shortfall& shortfall,
                              const Estimator& estimator);
int largest_group(const Request& request, const Estimator& estimator);

}  // namespace yolodist::plan
