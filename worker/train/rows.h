// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "worker/telemetry/metrics_jsonl.h"
#include "worker/telemetry/results_csv.h"
#include "worker/train/train_step.h"
#include "worker/train/training.h"

namespace yolodist::train {

// What rank 0 writes of an iteration that was made, and of an epoch that is over, before its state moves on.
telemetry::IterationRow row_of_iteration(const Training& training, const IterationPlan& plan,
                                         const IterationResult& result, double seconds);
telemetry::EpochResult row_of_epoch(const Training& training);

// The rank that is nearest to its budget, or without budgets the one that holds most.
struct WorstRank {
  int rank = -1;
  int64_t peak_bytes = 0, budget_bytes = 0;
};
WorstRank worst_rank(const Training& training, const std::vector<RankReport>& reports);

}  // namespace yolodist::train
