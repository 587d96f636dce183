// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "common/plan/planner.h"
#include "common/plan/summary.h"
#include "tests/unit/common/plan/simple_model.h"

namespace yolodist::plan {
namespace {

using test::four_layers;
using test::peak;
using test::simple_device;
using test::simple_request;
using test::SimpleModel;
using testing::IsEmpty;
using testing::Not;

class NextPlan : public testing::Test {
 protected:
  Request request(int batch, std::vector<Device> devices) {
    return simple_request(spec_, batch, std::move(devices));
  }
  Plan first(const Request& request) { return make_plan(request, model_.estimator()); }
  std::optional<Plan> next(const Request& request, const Plan& plan, const Shortfall& shortfall) {
    return next_plan(request, plan, shortfall, model_.estimator());
  }

  SimpleModel model_ = four_layers();
  model_spec::ModelSpec spec_ = model_.spec();
};

TEST_F(NextPlan, RecomputesOnTheFailingRankAndItsLikeFirst) {
  const Request request =
      this->request(16, {simple_device(600), simple_device(600), simple_device(500), simple_device(500)});
  const Plan plan = first(request);
  const std::optional<Plan> after =
      next(request, plan, {.rank = 2, .in_validation = false, .excess_bytes = 60});
  ASSERT_TRUE(after);
  EXPECT_EQ(after->ranks[0].recompute, plan.ranks[0].recompute) << "the large cards go on as before";
  EXPECT_EQ(after->ranks[1].recompute, plan.ranks[1].recompute);
  EXPECT_NE(after->ranks[2].recompute, plan.ranks[2].recompute);
  EXPECT_EQ(after->ranks[3].recompute, after->ranks[2].recompute);
  EXPECT_LE(peak(*after, 2), 500 - 60);
  EXPECT_EQ(after->global_batch, 16);
  EXPECT_EQ(after->bn_group, plan.bn_group);
  EXPECT_THAT(after->summary, testing::HasSubstr("on ranks 2-3"));
}

TEST_F(NextPlan, WhatWasHeldBeyondThePlanIsTakenOffTheBudget) {
  const Request request = this->request(4, {simple_device(500)});
  const std::optional<Plan> after =
      next(request, first(request), {.rank = 0, .in_validation = false, .excess_bytes = 200});
  ASSERT_TRUE(after);
  EXPECT_LE(peak(*after), 300);
}

TEST_F(NextPlan, MovesGroupsWhenRecomputeIsNotEnough) {
  const Request request = this->request(8, {simple_device(600), simple_device(600)});
  const Plan plan = first(request);
  const std::optional<Plan> after =
      next(request, plan, {.rank = 1, .in_validation = false, .excess_bytes = 450});
  ASSERT_TRUE(after);
  EXPECT_THAT(after->ranks[1].groups, IsEmpty());
  EXPECT_THAT(after->ranks[0].groups, testing::ElementsAre(0, 1));
  EXPECT_LT(peak(*after, 1), peak(plan, 1));
  EXPECT_FALSE(next(request, *after, {.rank = 1, .in_validation = false, .excess_bytes = 550}))
      << "nothing is left to give up";
}

TEST_F(NextPlan, AloneItTakesWhatIsLeast) {
  const Request request = this->request(4, {simple_device(500)});
  const std::optional<Plan> after =
      next(request, first(request), {.rank = 0, .in_validation = false, .excess_bytes = 450});
  ASSERT_TRUE(after);
  EXPECT_EQ(peak(*after), 100 + 4 * 24);
  EXPECT_FALSE(next(request, *after, {.rank = 0, .in_validation = false, .excess_bytes = 450}));
}

TEST_F(NextPlan, LowersTheGroupLastAndWithLeaveOnly) {
  Request request = this->request(4, {simple_device(500)});
  request.may_lower_bn_group = true;
  Plan plan = first(request);
  std::vector<int> groups = {plan.bn_group};
  const Shortfall shortfall{.rank = 0, .in_validation = false, .excess_bytes = 450};
  while (const std::optional<Plan> after = next(request, plan, shortfall)) {
    plan = *after;
    groups.push_back(plan.bn_group);
    ASSERT_LT(groups.size(), 20u);
  }
  EXPECT_THAT(groups, testing::ElementsAre(4, 4, 1))
      << "recompute, then the largest group that stays within 50 bytes";
}

TEST_F(NextPlan, MakesProgressEachTimeAndEnds) {
  for (const bool may_lower : {false, true}) {
    for (const int64_t excess : {0, 30, 200, 900}) {
      Request request = this->request(12, {simple_device(700), simple_device(450), simple_device(450)});
      request.may_lower_bn_group = may_lower;
      Plan plan = first(request);
      int steps = 0;
      while (const std::optional<Plan> after =
                 next(request, plan, {.rank = 1, .in_validation = false, .excess_bytes = excess})) {
        EXPECT_LT(after->ranks[1].estimate.training_bytes, plan.ranks[1].estimate.training_bytes);
        plan = *after;
        ASSERT_LT(++steps, 100);
      }
      EXPECT_GE(steps, 1);
    }
  }
}

TEST_F(NextPlan, ADecidedShardAndRecomputeStay) {
  Request request = this->request(8, {simple_device(600), simple_device(600)});
  request.shard = {4, 4};
  request.recompute = RecomputeChoice::activations;
  EXPECT_FALSE(next(request, first(request), {.rank = 0, .in_validation = false, .excess_bytes = 500}));
}

TEST_F(NextPlan, ValidationTakesSmallerSlices) {
  Request request = this->request(4, {simple_device(2000)});
  request.workload.validation_height_px = request.workload.validation_width_px = 672;
  Plan plan = first(request);
  ASSERT_EQ(plan.ranks[0].validation_pictures, 8);
  std::vector<int> slices;
  while (const std::optional<Plan> after =
             next(request, plan, {.rank = 0, .in_validation = true, .excess_bytes = 0})) {
    EXPECT_EQ(after->ranks[0].recompute, plan.ranks[0].recompute);
    plan = *after;
    slices.push_back(plan.ranks[0].validation_pictures);
    ASSERT_LT(slices.size(), 10u);
  }
  EXPECT_THAT(slices, testing::ElementsAre(4, 2, 1));
}

}  // namespace
}  // namespace yolodist::plan
