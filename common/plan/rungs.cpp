// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/plan/rungs.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "common/base/text.h"
#include "common/plan/sharing.h"
#include "common/plan/summary.h"

namespace yolodist::plan {
namespace {

// A rung that is tried on the rank that needs most, with everything else as it is.
class WorstRank {
 public:
  WorstRank(Planning& planning, const Plan& plan)
      : planning_(planning), rank_(worst_rank(plan)), device_(rank_.device) {
    pictures_ = std::min(plan.bn_group, plan.global_batch);
  }

  const Device& device() const { return device_; }
  int pictures() const { return pictures_; }

  Rung rung(std::string change, const Estimate& estimate, bool is_exact, double slowdown) const {
    return {std::move(change), estimate.allocator_bytes,
            is_within(estimate.device_bytes, device_.budget_bytes), is_exact, slowdown};
  }

  Rung uniform(const char* change, Recompute recompute) {
    const RecomputePlan plan(planning_.request().spec->layers.size(), recompute);
    const double slowdown =
        planning_.uniform_seconds(device_, recompute) / planning_.uniform_seconds(device_, Recompute::none) -
        1;
    return rung(change, planning_.training(device_, pictures_, plan), /*is_exact=*/true, slowdown);
  }

 private:
  Planning& planning_;
  const RankPlan& rank_;
  const Device& device_;
  int pictures_ = 1;
};

int64_t least_bytes(Planning& planning, const Device& device, int pictures, const Estimate** of = nullptr) {
  const Estimate* best = nullptr;
  for (const Policy& policy : planning.least_policies(device)) {
    const Estimate& estimate = planning.training(device, pictures, policy.recompute);
    if (best == nullptr || estimate.device_bytes < best->device_bytes) {
      best = &estimate;
    }
  }
  if (of != nullptr) {
    *of = best;
  }
  return best->device_bytes;
}

// The same question for a request that differs: other policies may then be cheapest, but those that need
// least stay the same ones.
Estimate least_of_other(const Request& other, const Device& device, int pictures,
                        const std::vector<Policy>& least, const Estimator& estimator) {
  Planning planning(other, estimator);
  const Estimate* best = nullptr;
  for (const Policy& policy : least) {
    const Estimate& estimate = planning.training(device, pictures, policy.recompute);
    if (best == nullptr || estimate.device_bytes < best->device_bytes) {
      best = &estimate;
    }
  }
  return *best;
}

void add_smaller_groups(Planning& planning, WorstRank& worst, const Plan& plan, std::vector<Rung>& rungs) {
  for (int group = plan.bn_group - 1; group >= 1; --group) {
    if (plan.bn_group % group != 0) {
      continue;
    }
    const Estimate* estimate = nullptr;
    const int64_t bytes =
        least_bytes(planning, worst.device(), std::min(group, plan.global_batch), &estimate);
    if (is_within(bytes, worst.device().budget_bytes) || group == 1) {
      rungs.push_back(
          worst.rung(cat("--bn-group ", group, " (BN over ", group, group == 1 ? " picture" : " pictures",
                         " instead of ", plan.bn_group, ")"),
                     *estimate, /*is_exact=*/false, 0));
      return;
    }
  }
}

void add_smaller_sides(Planning& planning, WorstRank& worst, const Estimator& estimator,
                       std::vector<Rung>& rungs) {
  const Request& request = planning.request();
  const int stride = request.spec->max_stride_px();
  const std::vector<Policy>& least = planning.least_policies(worst.device());
  const auto at = [&](int side) {
    Request other = request;
    const double factor = static_cast<double>(side) / request.workload.imgsz_px;
    const auto scaled = [&](int px) { return static_cast<int>(std::ceil(px * factor / stride)) * stride; };
    other.workload.imgsz_px = side;
    other.workload.height_px = scaled(request.workload.height_px);
    other.workload.width_px = scaled(request.workload.width_px);
    return least_of_other(other, worst.device(), worst.pictures(), least, estimator);
  };
  // The largest side that fits, between nothing (0) and what does not.
  int low = 0, high = request.workload.imgsz_px / stride;
  while (low + 1 < high) {
    const int middle = (low + high) / 2;
    (is_within(at(middle * stride).device_bytes, worst.device().budget_bytes) ? low : high) = middle;
  }
  const int side = low * stride;
  if (low > 0) {
    rungs.push_back(worst.rung(cat("--img ", side), at(side), /*is_exact=*/false, 0));
  }
}

void add_precision(Planning& planning, WorstRank& worst, const Estimator& estimator,
                   std::vector<Rung>& rungs) {
  const Request& request = planning.request();
  if (request.workload.precision != Precision::fp32 && request.workload.precision != Precision::fp64) {
    return;
  }
  const bool is_cuda = worst.device().kind == DeviceKind::cuda;
  Request other = request;
  other.workload.precision = is_cuda ? Precision::fp16 : Precision::bf16;
  const Estimate estimate = least_of_other(other, worst.device(), worst.pictures(),
                                           planning.least_policies(worst.device()), estimator);
  rungs.push_back(worst.rung(is_cuda ? "--precision fp16" : "--precision bf16", estimate,
                             /*is_exact=*/false, 0));
}

// Not in this version: what they would leave on a rank.
void add_later_remedies(Planning& planning, WorstRank& worst, std::vector<Rung>& rungs) {
  const int ranks = planning.world_size();
  if (ranks < 2) {
    return;
  }
  const Estimate* least = nullptr;
  least_bytes(planning, worst.device(), worst.pictures(), &least);
  const auto without = [&](int64_t saved_bytes) {
    Estimate estimate = *least;
    estimate.allocator_bytes -= saved_bytes;
    estimate.device_bytes -= saved_bytes;
    return estimate;
  };
  rungs.push_back(worst.rung("sharded optimizer (not in this version)",
                             without(least->terms.optimizer * (ranks - 1) / ranks), /*is_exact=*/true, 0));
  rungs.push_back(worst.rung("pipeline of 2 stages (not in this version; roughly)",
                             without(least->allocator_bytes / 2), /*is_exact=*/true, 0));
}

}  // namespace

double budget_share(const RankPlan& rank) {
  return rank.device.budget_bytes == 0 ? 0
                                       : static_cast<double>(rank.estimate.device_bytes) /
                                             static_cast<double>(rank.device.budget_bytes);
}

const RankPlan& worst_rank(const Plan& plan) {
  return *std::max_element(plan.ranks.begin(), plan.ranks.end(), [](const RankPlan& a, const RankPlan& b) {
    return std::pair(budget_share(a), a.estimate.device_bytes) <
           std::pair(budget_share(b), b.estimate.device_bytes);
  });
}

double slowdown_of(Planning& planning, const Plan& plan) {
  std::vector<double> plain;  // a full group, nothing recomputed
  for (const RankPlan& rank : plan.ranks) {
    plain.push_back(planning.uniform_seconds(rank.device, Recompute::none) * plan.group_sizes.front());
  }
  const std::vector<std::vector<int>> shares =
      share_groups(plan.group_sizes, plain, planning.request().shard);
  double before = 0, now = 0;
  for (size_t rank = 0; rank < plan.ranks.size(); ++rank) {
    double seconds = 0;
    for (const int group : shares[rank]) {
      seconds += plain[rank] * plan.group_sizes[static_cast<size_t>(group)] / plan.group_sizes.front();
    }
    before = std::max(before, seconds);
    now = std::max(now, plan.ranks[rank].seconds);
  }
  return before > 0 ? now / before - 1 : 0;
}

void describe(Planning& planning, Plan& plan) {
  plan.fits =
      std::all_of(plan.ranks.begin(), plan.ranks.end(), [](const RankPlan& rank) { return rank.fits; });
  plan.slowdown = slowdown_of(planning, plan);
  plan.summary = summary_of(planning, plan);
  WorstRank worst(planning, plan);
  plan.rungs.clear();
  for (const auto& [change, recompute] : {std::pair{"recompute none", Recompute::none},
                                          {"recompute activations", Recompute::activations},
                                          {"recompute blocks", Recompute::block}}) {
    plan.rungs.push_back(worst.uniform(change, recompute));
  }
  if (!plan.fits) {
    add_smaller_groups(planning, worst, plan, plan.rungs);
    add_smaller_sides(planning, worst, planning.estimator(), plan.rungs);
    add_precision(planning, worst, planning.estimator(), plan.rungs);
    add_later_remedies(planning, worst, plan.rungs);
  }
  plan.smallest_budget_bytes = 0;
  int largest = -1;
  for (const RankPlan& rank : plan.ranks) {
    const int pictures = std::min(plan.bn_group, plan.global_batch);
    int64_t bytes = least_bytes(planning, rank.device, pictures);
    if (planning.validates()) {
      bytes = std::max(bytes, planning.idle(rank.device, 1).device_bytes);
    }
    plan.smallest_budget_bytes = std::max(plan.smallest_budget_bytes, bytes);
    const int group = planning.largest_group(rank.device);
    largest = largest < 0 ? group : group < 0 ? largest : std::min(largest, group);
  }
  plan.max_global_batch = largest < 0 ? -1 : largest * planning.world_size();
}

}  // namespace yolodist::plan
