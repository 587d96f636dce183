// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/plan/planner.h"

#include <gmock/gmock.h>

#include "common/plan/summary.h"
#include "tests/support/thrown.h"
#include "tests/unit/common/plan/simple_model.h"

// The simple model needs 100 bytes of state and 100 a picture: 50 with activations recomputed, 24 with blocks
// (20 kept, and 4 for a moment while the last one runs again).
namespace yolodist::plan {
namespace {

using test::four_layers;
using test::peak;
using test::simple_device;
using test::simple_request;
using test::SimpleModel;
using testing::AllOf;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class Planner : public testing::Test {
 protected:
  Plan plan(const Request& request) { return make_plan(request, model_.estimator()); }
  Request request(int batch, std::vector<Device> devices) {
    return simple_request(spec_, batch, std::move(devices));
  }

  SimpleModel model_ = four_layers();
  model_spec::ModelSpec spec_ = model_.spec();
};

TEST_F(Planner, WithoutABudgetNothingIsRecomputed) {
  const Plan plan = this->plan(request(16, {simple_device(0), simple_device(0)}));
  EXPECT_TRUE(plan.fits);
  EXPECT_EQ(plan.bn_group, 8);
  EXPECT_EQ(plan.accumulate, 4);
  EXPECT_EQ(peak(plan), 100 + 8 * 100);
  EXPECT_EQ(plan.summary, "same as YOLOv5: batch 16, nominal 64; different: nothing");
  EXPECT_EQ(plan.max_global_batch, -1);
  EXPECT_EQ(plan.slowdown, 0);
}

TEST_F(Planner, RecomputesAsLittleAsFits) {
  const Plan plan = this->plan(request(4, {simple_device(480)}));
  EXPECT_TRUE(plan.fits);
  EXPECT_LE(peak(plan), 480);
  EXPECT_GT(plan.slowdown, 0);
  EXPECT_LT(plan.slowdown, 0.02);
  EXPECT_THAT(plan.summary, HasSubstr("recompute activations of"));
  EXPECT_EQ(plan.group_sizes, std::vector<int>{4}) << "the recipe stays";
}

TEST_F(Planner, NeverChangesTheRecipeUnasked) {
  Request request = this->request(8, {simple_device(250)});
  Plan plan = this->plan(request);
  EXPECT_FALSE(plan.fits);
  EXPECT_EQ(plan.bn_group, 8);
  EXPECT_EQ(plan.global_batch, 8);
  EXPECT_THAT(plan.summary, HasSubstr("does not fit: rank 0 needs"));
  request.may_lower_bn_group = true;
  plan = this->plan(request);
  EXPECT_TRUE(plan.fits);
  EXPECT_EQ(plan.bn_group, 4) << "the largest that nests and fits";
  EXPECT_THAT(plan.summary, HasSubstr("BN over 4 pictures instead of 8"));
  EXPECT_EQ(plan.group_sizes.size(), 2u);
}

TEST_F(Planner, NamesFurtherRemediesWithFigures) {
  const Plan plan = this->plan(request(16, {simple_device(250), simple_device(250)}));
  ASSERT_FALSE(plan.fits);
  std::vector<std::string> changes;
  for (const Rung& rung : plan.rungs) {
    changes.push_back(rung.change);
    EXPECT_GT(rung.allocator_bytes, 0);
    EXPECT_EQ(rung.fits, rung.allocator_bytes <= 250) << rung.change;
  }
  EXPECT_THAT(changes,
              testing::IsSupersetOf({HasSubstr("recompute activations"), HasSubstr("recompute blocks"),
                                     HasSubstr("--bn-group 4 (BN over 4 pictures instead of 8)"),
                                     HasSubstr("--precision bf16"),
                                     HasSubstr("sharded optimizer (not in this version)")}));
}

TEST_F(Planner, TheSmallestBudgetWouldDo) {
  Request request = this->request(8, {simple_device(200)});
  const int64_t smallest = plan(request).smallest_budget_bytes;
  request.devices[0].budget_bytes = smallest;
  EXPECT_TRUE(plan(request).fits);
  request.devices[0].budget_bytes = smallest - 1;
  EXPECT_FALSE(plan(request).fits);
}

TEST_F(Planner, TheLargestBatchIsWhatFitsAndOneMoreDoesNot) {
  Request request = this->request(-1, {simple_device(1000), simple_device(1000)});
  const Plan largest = plan(request);
  EXPECT_TRUE(largest.fits);
  EXPECT_EQ(largest.global_batch, largest.max_global_batch);
  EXPECT_EQ(largest.bn_group * 2, largest.global_batch);
  request.global_batch = largest.global_batch;
  EXPECT_TRUE(plan(request).fits);
  request.global_batch += 2;
  EXPECT_FALSE(plan(request).fits);
  EXPECT_EQ(largest.bn_group, 900 / 24);
}

TEST_F(Planner, TheLargestBatchFollowsTheSmallestDeviceAndTheChoiceOfRecompute) {
  Request request = this->request(-1, {simple_device(1000), simple_device(400)});
  EXPECT_EQ(plan(request).bn_group, 300 / 24);
  request.recompute = RecomputeChoice::none;
  EXPECT_EQ(plan(request).bn_group, 300 / 100);
  request.bn_group = 2;
  EXPECT_EQ(plan(request).global_batch, 4) << "one group a rank";
  request.devices = {simple_device(120), simple_device(120)};
  request.bn_group = 0;
  EXPECT_FALSE(plan(request).fits);
  EXPECT_EQ(plan(request).max_global_batch, 0);
}

TEST_F(Planner, TheLargestBatchNeedsABudget) {
  EXPECT_THAT(yolodist::test::thrown<UsageError>([&] { plan(request(-1, {simple_device(0)})); }),
              HasSubstr("--device-memory"));
}

TEST_F(Planner, ASmallCardRecomputesAndTheLargeOneDoesNot) {
  const Plan plan = this->plan(request(8, {simple_device(600), simple_device(320)}));
  EXPECT_TRUE(plan.fits);
  EXPECT_EQ(recompute_text(plan.ranks[0].recompute), "none");
  EXPECT_NE(recompute_text(plan.ranks[1].recompute), "none");
  EXPECT_THAT(plan.summary, AllOf(HasSubstr("on rank 1"), Not(HasSubstr("shares"))));
}

TEST_F(Planner, ACardThatCannotTakeAGroupGivesItAway) {
  const Plan plan = this->plan(request(8, {simple_device(600), simple_device(160)}));
  EXPECT_TRUE(plan.fits);
  EXPECT_THAT(plan.ranks[0].groups, ElementsAre(0, 1));
  EXPECT_THAT(plan.ranks[1].groups, IsEmpty());
  EXPECT_THAT(shard_of(plan), ElementsAre(8, 0));
  EXPECT_LE(peak(plan, 1), 160);
  EXPECT_THAT(plan.summary, AllOf(HasSubstr("shares 8,0"), HasSubstr("no pictures on rank 1")));
}

TEST_F(Planner, AFasterCardTakesMoreGroups) {
  Request request = this->request(8, {simple_device(0, 3), simple_device(0, 1)});
  request.bn_group = 2;
  const Plan plan = this->plan(request);
  EXPECT_THAT(shard_of(plan), ElementsAre(6, 2));
  EXPECT_DOUBLE_EQ(plan.ranks[0].seconds, plan.ranks[1].seconds);
}

TEST_F(Planner, HonoursAShard) {
  Request request = this->request(8, {simple_device(0), simple_device(0)});
  request.bn_group = 2;
  request.shard = {2, 6};
  EXPECT_THAT(shard_of(plan(request)), ElementsAre(2, 6));
  request.shard = {3, 5};
  EXPECT_THAT(yolodist::test::thrown<UsageError>([&] { plan(request); }), HasSubstr("no whole groups of 2"));
}

TEST_F(Planner, AChoiceOfRecomputeIsKept) {
  Request request = this->request(4, {simple_device(0)});
  request.recompute = RecomputeChoice::activations;
  EXPECT_EQ(peak(plan(request)), 100 + 4 * 50);
  request.recompute = RecomputeChoice::blocks;
  EXPECT_EQ(peak(plan(request)), 100 + 4 * 24);
  request.recompute = RecomputeChoice::none;
  request.devices[0].budget_bytes = 400;
  EXPECT_FALSE(plan(request).fits);
}

TEST_F(Planner, ValidationTakesNoMoreThanTheBudget) {
  model_.validation_bytes_a_picture = 60;
  Request request = this->request(4, {simple_device(520)});
  request.workload.validation_height_px = request.workload.validation_width_px = 672;
  Plan plan = this->plan(request);
  EXPECT_TRUE(plan.fits);
  EXPECT_EQ(plan.ranks[0].validation_pictures, 4) << "of 8: 480 bytes more than the state do not fit";
  EXPECT_EQ(plan.ranks[0].estimate.validation_bytes, 100 + 4 * 60);
  request.devices[0].budget_bytes = 0;
  EXPECT_EQ(this->plan(request).ranks[0].validation_pictures, 8);
  request.validation_batch = 3;
  EXPECT_EQ(this->plan(request).ranks[0].validation_pictures, 3);
}

TEST_F(Planner, OverheadCountsOnCudaOnly) {
  Device device = simple_device(700);
  device.overhead = {.context_bytes = 50, .workspace_bytes = 30, .nccl_bytes = 20, .fragmentation = 0.1};
  EXPECT_EQ(plan(request(4, {device})).ranks[0].estimate.device_bytes, 500);
  device.kind = DeviceKind::cuda;
  const Plan one = plan(request(4, {device}));
  EXPECT_EQ(one.ranks[0].estimate.device_bytes, 500 + 50 + 30 + 50);
  EXPECT_EQ(plan(request(8, {device, device})).ranks[0].estimate.device_bytes, 500 + 50 + 30 + 20 + 50);
  EXPECT_THAT(one.summary, HasSubstr("fp32 instead of mixed precision"));
}

TEST_F(Planner, EveryRankComesToTheSamePlan) {
  const Request request = this->request(12, {simple_device(400), simple_device(700), simple_device(250)});
  const Plan a = plan(request), b = plan(request);
  EXPECT_EQ(a.summary, b.summary);
  for (size_t rank = 0; rank < a.ranks.size(); ++rank) {
    EXPECT_EQ(a.ranks[rank].recompute, b.ranks[rank].recompute);
    EXPECT_EQ(a.ranks[rank].groups, b.ranks[rank].groups);
  }
}

TEST_F(Planner, MoreMemoryIsNeverSlower) {
  double before = 1e9;
  for (int64_t budget = 200; budget < 1000; budget += 5) {
    const Plan plan = this->plan(request(8, {simple_device(budget), simple_device(600)}));
    if (!plan.fits) {
      continue;
    }
    const double seconds = std::max(plan.ranks[0].seconds, plan.ranks[1].seconds);
    EXPECT_LE(seconds, before * (1 + 1e-9)) << budget;
    before = seconds;
  }
  EXPECT_LT(before, 1e9);
}

TEST(RanksText, JoinsNeighbours) {
  EXPECT_EQ(ranks_text({3}), "rank 3");
  EXPECT_EQ(ranks_text({2, 3}), "ranks 2-3");
  EXPECT_EQ(ranks_text({0, 2, 3, 4, 7}), "ranks 0, 2-4, 7");
}

}  // namespace
}  // namespace yolodist::plan
