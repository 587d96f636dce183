// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "common/plan/estimator.h"

namespace yolodist::plan {

// What to recompute, layer by layer, and what that costs.
struct Policy {
  RecomputePlan recompute;
  double seconds = 0;  // of an iteration over one picture
};

// Seconds of forward and backward over a workload on a device: backward does about twice the forward's flops,
// the elementwise work holds both.
double seconds_of(const Work& work, const Device& device);

// The same policy for every layer.
Policy uniform_policy(const model_spec::ModelSpec& spec, const Workload& workload, const Estimator& estimator,
                      const Device& device, Recompute recompute);

// Policies from "nothing" to "everything", fastest first: for each of many amounts of memory that may be
// wanted, the cheapest choice by layer that saves so much (a knapsack, solved by dynamic programming over
// what each choice saves and costs by itself). They do not depend on budget and pictures, so that whoever has
// more room has all the choices of who has less. What a policy really needs is for estimate() to say.
std::vector<Policy> policies_of(const model_spec::ModelSpec& spec, const Workload& workload,
                                const Estimator& estimator, const Device& device);

}  // namespace yolodist::plan
