// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "common/plan/planning.h"

namespace yolodist::plan {

// The share of its budget that a rank needs; 0 without a budget. Largest first decides who is worst.
double budget_share(const RankPlan& rank);
const RankPlan& worst_rank(const Plan& plan);

// How much longer an iteration takes than with nothing recomputed anywhere: 0.07 = 7 %.
double slowdown_of(Planning& planning, const Plan& plan);

// Fills in what describes a plan whose ranks are settled: fits, summary, rungs, smallest budget, largest
// batch.
void describe(Planning& planning, Plan& plan);

}  // namespace yolodist::plan
