// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/plan/planner.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>

#include "common/base/error.h"
#include "common/base/text.h"
#include "common/plan/build_plan.h"
#include "common/plan/rungs.h"
#include "common/plan/sharing.h"

namespace yolodist::plan {
namespace {

int largest_group_of(Planning& planning) {
  int largest = -1;
  for (const Device& device : planning.request().devices) {
    const int group = planning.largest_group(device);
    largest = group < 0 ? largest : largest < 0 ? group : std::min(largest, group);
  }
  return largest;
}

// The batch and group of a request, with -1 and 0 resolved.
void resolve(Planning& planning, int& batch, int& group) {
  const Request& request = planning.request();
  const int ranks = planning.world_size();
  group = request.bn_group;
  batch = request.global_batch;
  if (batch == -1) {
    const int largest = largest_group_of(planning);
    if (largest < 0) {
      throw UsageError("--batch-size -1 needs to know how much memory there is",
                       "On the CPU say it with --device-memory, or give a number.");
    }
    group = group > 0 ? group : std::max(1, largest);
    batch = group * ranks;
    return;
  }
  check(batch >= 1, "the global batch is positive");
  group = group > 0 ? group : (batch + ranks - 1) / ranks;
}

}  // namespace

bool same_kind(const Device& a, const Device& b) {
  const auto key = [](const Device& d) {
    return std::tuple(d.kind, d.card, d.budget_bytes, d.flops_per_s, d.bytes_per_s, d.overhead.context_bytes,
                      d.overhead.workspace_bytes, d.overhead.nccl_bytes, d.overhead.fragmentation);
  };
  return key(a) == key(b);
}

void settle_groups(Planning& planning, Plan& plan, const std::vector<Choice>& choices,
                   const std::vector<bool>& may_take) {
  const int pictures = plan.group_sizes.front();
  std::vector<double> seconds;
  for (size_t rank = 0; rank < choices.size(); ++rank) {
    seconds.push_back(may_take[rank] ? choices[rank].policy.seconds * pictures
                                     : std::numeric_limits<double>::infinity());
  }
  std::vector<std::vector<int>> shares = share_groups(plan.group_sizes, seconds, planning.request().shard);
  const bool takes_any = std::any_of(shares.begin(), shares.end(),
                                     [](const std::vector<int>& groups) { return !groups.empty(); });
  if (!takes_any) {
    // Nothing fits: the plan says what an even share would need.
    shares = share_groups(plan.group_sizes, std::vector<double>(choices.size(), 1.0), {});
  }
  plan.ranks.clear();
  for (size_t rank = 0; rank < choices.size(); ++rank) {
    RankPlan ranked;
    ranked.rank = static_cast<int>(rank);
    ranked.device = planning.request().devices[rank];
    ranked.groups = shares[rank];
    ranked.recompute = choices[rank].policy.recompute;
    ranked.validation_pictures = choices[rank].validation_pictures;
    ranked.estimate = choices[rank].estimate;
    for (const int group : ranked.groups) {
      ranked.seconds += choices[rank].policy.seconds * plan.group_sizes[static_cast<size_t>(group)];
    }
    if (ranked.groups.empty()) {
      ranked.estimate = planning.idle(ranked.device, ranked.validation_pictures);
    }
    ranked.fits = is_within(ranked.estimate.device_bytes, ranked.device.budget_bytes);
    plan.ranks.push_back(std::move(ranked));
  }
}

Plan build_plan(Planning& planning, int global_batch, int bn_group, const std::vector<int64_t>& budgets) {
  const Request& request = planning.request();
  if (!request.shard.empty()) {
    check_shard(request.shard, planning.world_size(), global_batch, bn_group);
  }
  Plan plan;
  plan.global_batch = global_batch;
  plan.bn_group = bn_group;
  constexpr double nominal_batch = 64;  // Source: ultralytics/yolov5 v7.0 train.py, nbs
  plan.accumulate = request.accumulate > 0
                        ? request.accumulate
                        : std::max(1, static_cast<int>(std::lround(nominal_batch / global_batch)));
  plan.group_sizes = groups_of_batch(global_batch, bn_group);
  std::vector<Choice> choices;
  std::vector<bool> may_take;
  for (size_t rank = 0; rank < request.devices.size(); ++rank) {
    size_t like = 0;
    while (!same_kind(request.devices[like], request.devices[rank]) || budgets[like] != budgets[rank]) {
      ++like;
    }
    choices.push_back(like < rank
                          ? choices[like]
                          : planning.choose(request.devices[rank], plan.group_sizes.front(), budgets[rank]));
    may_take.push_back(choices.back().fits);
  }
  settle_groups(planning, plan, choices, may_take);
  plan.fits =
      std::all_of(plan.ranks.begin(), plan.ranks.end(), [](const RankPlan& rank) { return rank.fits; });
  return plan;
}

std::vector<int64_t> budgets_of(const Request& request) {
  std::vector<int64_t> budgets;
  for (const Device& device : request.devices) {
    budgets.push_back(device.budget_bytes);
  }
  return budgets;
}

Request resolved_validation(const Request& request, int global_batch) {
  Request resolved = request;
  if (resolved.validation_batch == 0) {
    resolved.validation_batch = 2 * std::max(1, global_batch);
  }
  return resolved;
}

Plan make_plan(const Request& request, const Estimator& estimator) {
  int batch = request.global_batch, group = request.bn_group;
  {
    Planning first(request, estimator);
    resolve(first, batch, group);
  }
  const Request resolved = resolved_validation(request, batch);
  Planning planning(resolved, estimator);
  const std::vector<int64_t> budgets = budgets_of(resolved);
  Plan plan = build_plan(planning, batch, group, budgets);
  if (!plan.fits && request.may_lower_bn_group && request.shard.empty()) {
    for (int smaller = group - 1; smaller >= 1; --smaller) {
      if (group % smaller != 0) {
        continue;  // groups that nest keep the ranks evenly busy
      }
      Plan lowered = build_plan(planning, batch, smaller, budgets);
      if (lowered.fits) {
        plan = std::move(lowered);
        break;
      }
    }
  }
  describe(planning, plan);
  return plan;
}

Plan make_plan(const Request& request) {
  return make_plan(request, Estimator{});
}

std::vector<int> shard_of(const Plan& plan) {
  std::vector<int> shard;
  for (const RankPlan& rank : plan.ranks) {
    shard.push_back(0);
    for (const int group : rank.groups) {
      shard.back() += plan.group_sizes[static_cast<size_t>(group)];
    }
  }
  return shard;
}

int largest_group(const Request& request, const Estimator& estimator) {
  Planning planning(request, estimator);
  return largest_group_of(planning);
}

int largest_group(const Request& request) {
  return largest_group(request, Estimator{});
}

RecomputeChoice recompute_choice(const std::string& text) {
  return text == "none"          ? RecomputeChoice::none
         : text == "activations" ? RecomputeChoice::activations
         : text == "blocks"      ? RecomputeChoice::blocks
                                 : RecomputeChoice::automatic;
}

}  // namespace yolodist::plan
