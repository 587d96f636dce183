// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <optional>

#include "common/base/error.h"
#include "common/plan/build_plan.h"
#include "common/plan/rungs.h"

namespace yolodist::plan {
namespace {

// What a plan says of a rank, as the choice that it was.
Choice choice_of(Planning& planning, const RankPlan& rank) {
  Choice choice;
  choice.policy.recompute = rank.recompute;
  Workload one = planning.request().workload;
  one.device = rank.device.kind;
  one.pictures = 1;
  one.recompute = rank.recompute;
  choice.policy.seconds = seconds_of(planning.estimator().work(*planning.request().spec, one), rank.device);
  choice.validation_pictures = rank.validation_pictures;
  choice.estimate = rank.estimate;
  choice.fits = rank.fits;
  return choice;
}

class NextPlan {
 public:
  NextPlan(Planning& planning, const Plan& plan, const Shortfall& shortfall)
      : planning_(planning), plan_(plan), failed_(plan.ranks[static_cast<size_t>(shortfall.rank)]) {
    // A step worth a replay: the model itself is not more exact than this.
    constexpr double worthwhile = 0.97;
    const Estimate& now = failed_.estimate;
    const int64_t predicted = shortfall.in_validation ? now.validation_bytes : now.training_bytes;
    limit_bytes_ = static_cast<int64_t>(worthwhile * static_cast<double>(predicted));
    if (failed_.device.budget_bytes > 0) {
      // What was held beyond the prediction will be held again.
      limit_bytes_ =
          std::min(limit_bytes_, failed_.device.budget_bytes - overhead_bytes() - shortfall.excess_bytes);
    }
    for (const RankPlan& rank : plan.ranks) {
      choices_.push_back(choice_of(planning, rank));
      is_like_.push_back(same_kind(rank.device, failed_.device) && rank.recompute == failed_.recompute &&
                         rank.groups.empty() == failed_.groups.empty());
      takes_groups_.push_back(!rank.groups.empty());
    }
  }

  std::optional<Plan> smaller_validation() {
    int pictures = failed_.validation_pictures;
    Estimate estimate = failed_.estimate;
    while (pictures > 1) {
      pictures = (pictures + 1) / 2;
      estimate = failed_.groups.empty()
                     ? planning_.idle(failed_.device, pictures)
                     : planning_.whole(failed_.device, group_pictures(), failed_.recompute, pictures);
      if (estimate.validation_bytes <= limit_bytes_) {
        break;
      }
    }
    if (pictures == failed_.validation_pictures) {
      return std::nullopt;
    }
    Plan next = plan_;
    for (size_t rank = 0; rank < next.ranks.size(); ++rank) {
      if (is_like_[rank]) {
        next.ranks[rank].validation_pictures = pictures;
        next.ranks[rank].estimate = estimate;
      }
    }
    return finish(std::move(next));
  }

  // The fastest policy that stays within the limit; `at_any_rate`: else the one that needs least, if that is
  // less than now.
  std::optional<Plan> more_recompute(bool at_any_rate) {
    if (failed_.groups.empty()) {
      return std::nullopt;
    }
    const int64_t before = failed_.estimate.training_bytes;
    const Policy* chosen = nullptr;
    int64_t chosen_bytes = before;
    for (const Policy& policy : planning_.policies(failed_.device)) {
      const int64_t bytes =
          planning_.training(failed_.device, group_pictures(), policy.recompute).training_bytes;
      if (bytes < before && bytes <= limit_bytes_) {
        chosen = &policy;
        break;
      }
      if (at_any_rate && bytes < chosen_bytes) {
        chosen = &policy;
        chosen_bytes = bytes;
      }
    }
    if (chosen == nullptr) {
      return std::nullopt;
    }
    Choice choice;
    choice.policy = *chosen;
    choice.validation_pictures = slice_within_limit();
    choice.estimate =
        planning_.whole(failed_.device, group_pictures(), chosen->recompute, choice.validation_pictures);
    for (size_t rank = 0; rank < choices_.size(); ++rank) {
      if (is_like_[rank]) {
        choices_[rank] = choice;
      }
    }
    return share();
  }

  // A rank's memory does not depend on how many groups it has, so it gives all of them away.
  std::optional<Plan> move_groups() {
    if (failed_.groups.empty() || !planning_.request().shard.empty()) {
      return std::nullopt;
    }
    takes_groups_[static_cast<size_t>(failed_.rank)] = false;
    if (std::find(takes_groups_.begin(), takes_groups_.end(), true) == takes_groups_.end()) {
      return std::nullopt;
    }
    return share();
  }

  std::optional<Plan> smaller_group() {
    if (!planning_.request().may_lower_bn_group || failed_.groups.empty() ||
        !planning_.request().shard.empty()) {
      return std::nullopt;
    }
    std::vector<int64_t> budgets = budgets_of(planning_.request());
    for (size_t rank = 0; rank < budgets.size(); ++rank) {
      if (is_like_[rank]) {
        budgets[rank] = std::max(int64_t{1}, limit_bytes_ + overhead_bytes());
      }
    }
    std::optional<Plan> best;
    for (int group = plan_.bn_group - 1; group >= 1; --group) {
      if (plan_.bn_group % group != 0) {
        continue;
      }
      Plan next = build_plan(planning_, plan_.global_batch, group, budgets);
      if (next.ranks[static_cast<size_t>(failed_.rank)].estimate.training_bytes <
          failed_.estimate.training_bytes) {
        best = std::move(next);
        if (best->ranks[static_cast<size_t>(failed_.rank)].estimate.training_bytes <= limit_bytes_) {
          break;
        }
      }
    }
    return best ? std::optional(finish(std::move(*best))) : std::nullopt;
  }

 private:
  int64_t overhead_bytes() const { return failed_.estimate.device_bytes - failed_.estimate.allocator_bytes; }
  int group_pictures() const { return plan_.group_sizes.front(); }

  int slice_within_limit() {
    // No more than before, so that nothing grows.
    const int pictures =
        planning_.validation_slice(failed_.device, std::max(int64_t{1}, limit_bytes_ + overhead_bytes()));
    return std::min(pictures, failed_.validation_pictures);
  }

  std::optional<Plan> share() {
    Plan next = plan_;
    settle_groups(planning_, next, choices_, takes_groups_);
    return finish(std::move(next));
  }

  Plan finish(Plan next) {
    describe(planning_, next);
    return next;
  }

  Planning& planning_;
  const Plan& plan_;
  const RankPlan& failed_;
  int64_t limit_bytes_ = 0;  // of the allocator
  std::vector<Choice> choices_;
  std::vector<bool> is_like_, takes_groups_;
};

}  // namespace

std::optional<Plan> next_plan(const Request& request, const Plan& plan, const Shortfall& shortfall,
                              const Estimator& estimator) {
  check(shortfall.rank >= 0 && shortfall.rank < static_cast<int>(plan.ranks.size()),
        "a shortfall is of a rank of the plan");
  const Request resolved = resolved_validation(request, plan.global_batch);
  Planning planning(resolved, estimator);
  const auto next = [&] { return NextPlan(planning, plan, shortfall); };
  if (shortfall.in_validation) {
    return next().smaller_validation();
  }
  if (std::optional<Plan> found = next().more_recompute(/*at_any_rate=*/false)) {
    return found;
  }
  if (std::optional<Plan> found = next().move_groups()) {
    return found;
  }
  if (std::optional<Plan> found = next().more_recompute(/*at_any_rate=*/true)) {
    return found;
  }
  return next().smaller_group();
}

std::optional<Plan> next_plan(const Request& request, const Plan& plan, const Shortfall& shortfall) {
  return next_plan(request, plan, shortfall, Estimator{});
}

}  // namespace yolodist::plan
