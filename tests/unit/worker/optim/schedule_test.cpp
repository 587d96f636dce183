// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
// Whole runs are held to the Python peer in tests/golden (schedule).
#include "worker/optim/schedule.h"

#include <gtest/gtest.h>

namespace yolodist::optim {
namespace {

Schedule::Setup setup_of(int epochs, int batches, int global_batch) {
  Schedule::Setup setup;
  setup.epochs = epochs;
  setup.batches_an_epoch = batches;
  setup.global_batch = global_batch;
  return setup;
}

// Known values of YOLOv5 v7.0, to the digits that stand here.
TEST(Schedule, HasTheKnownFactors) {
  Schedule::Setup setup = setup_of(100, 40, 16);
  const Schedule linear(setup);
  for (const auto& [x, factor] :
       {std::pair{0, 1.0}, {1, .9901}, {3, .9703}, {50, .505}, {98, .0298}, {99, .0199}, {100, .01}}) {
    EXPECT_NEAR(linear.lr_factor(x), factor, 1e-14) << x;
  }
  setup.cos_lr = true;
  const Schedule cosine(setup);
  for (const auto& [x, factor] : {std::pair{0, 1.0},
                                  {1, .999756},
                                  {3, .997803},
                                  {50, .505},
                                  {98, .010977},
                                  {99, .010244},
                                  {100, .01}}) {
    EXPECT_NEAR(cosine.lr_factor(x), factor, 5.1e-7) << x;
  }
}

TEST(Schedule, ScalesAccumulationAndDecayToTheNominalBatch) {
  struct Row {
    int batch, accumulate;
    double weight_decay;
  };
  for (const auto& [batch, accumulate, weight_decay] : {Row{4, 16, 5e-4},
                                                        {16, 4, 5e-4},
                                                        {24, 3, 5.625e-4},
                                                        {32, 2, 5e-4},
                                                        {48, 1, 3.75e-4},
                                                        {64, 1, 5e-4},
                                                        {128, 1, 1e-3}}) {
    const Schedule schedule(setup_of(100, 100, batch));
    EXPECT_NEAR(schedule.scaled_weight_decay(), weight_decay, 1e-18) << "batch " << batch;
    EXPECT_EQ(schedule.at(50, 0).accumulate, accumulate) << "batch " << batch;
    EXPECT_EQ(schedule.at(0, 0).accumulate, 1) << "batch " << batch;
  }
}

TEST(Schedule, TakesAnAccumulationThatIsAskedFor) {
  Schedule::Setup setup = setup_of(100, 100, 16);
  setup.accumulate = 1;
  const Schedule one(setup);
  for (const int batch : {0, 50, 99}) {
    EXPECT_EQ(one.at(1, batch).accumulate, 1);
  }
  EXPECT_NEAR(one.scaled_weight_decay(), 5e-4 / 4, 1e-18);
  setup.accumulate = 7;
  const Schedule seven(setup);
  EXPECT_EQ(seven.at(0, 0).accumulate, 1) << "warm-up begins with a step each iteration";
  EXPECT_EQ(seven.at(3, 1).accumulate, 7);
  EXPECT_NEAR(seven.scaled_weight_decay(), 5e-4 * 7 / 4, 1e-18);
}

TEST(Schedule, WarmsUpForAtLeastAHundredIterations) {
  EXPECT_EQ(Schedule(setup_of(100, 10, 16)).warmup_iterations(), 100);
  EXPECT_EQ(Schedule(setup_of(100, 33, 16)).warmup_iterations(), 100);
  EXPECT_EQ(Schedule(setup_of(100, 34, 16)).warmup_iterations(), 102);
  Schedule::Setup setup = setup_of(100, 45, 16);
  setup.hyp.warmup_epochs = 2.7;  // 121.5 rounds to the even 122, 2.5 x 45 = 112.5 to 112
  EXPECT_EQ(Schedule(setup).warmup_iterations(), 122);
  setup.hyp.warmup_epochs = 2.5;
  EXPECT_EQ(Schedule(setup).warmup_iterations(), 112);
  setup.hyp.warmup_epochs = 0;
  EXPECT_EQ(Schedule(setup).warmup_iterations(), 100);
}

TEST(Schedule, WarmsUpLinearly) {
  const Schedule schedule(setup_of(100, 50, 16));
  const IterationSettings first = schedule.at(0, 0), middle = schedule.at(1, 25), last = schedule.at(3, 0);
  EXPECT_EQ(first.lr, (std::array<double, 3>{0.1, 0, 0}));
  EXPECT_EQ(first.momentum, 0.8);
  const double target = 0.01 * schedule.lr_factor(1);
  EXPECT_NEAR(middle.lr[0], (0.1 + target) / 2, 1e-16);
  EXPECT_NEAR(middle.lr[1], target / 2, 1e-16);
  EXPECT_NEAR(middle.lr[2], target / 2, 1e-16);
  EXPECT_NEAR(middle.momentum, (0.8 + 0.937) / 2, 1e-15);
  EXPECT_EQ(last.lr[1], 0.01 * schedule.lr_factor(3)) << "iteration 150 is the last of warm-up";
  EXPECT_EQ(last.momentum, 0.937);
}

// The scheduler of the peer steps after each epoch from a counter that starts one too low.
TEST(Schedule, TrainsAnEpochWithTheFactorOfTheOneBefore) {
  const Schedule schedule(setup_of(100, 50, 16));
  EXPECT_EQ(schedule.at(3, 1).lr[1], 0.01 * schedule.lr_factor(3)) << "in this epoch warm-up ended";
  EXPECT_EQ(schedule.at(4, 0).lr[1], 0.01 * schedule.lr_factor(3));
  EXPECT_EQ(schedule.at(4, 0).lr[0], 0.01 * schedule.lr_factor(3));
  EXPECT_EQ(schedule.at(99, 49).lr[1], 0.01 * schedule.lr_factor(98));
}

TEST(Schedule, DoesNotWarmUpAdamsBeta) {
  Schedule::Setup setup = setup_of(100, 50, 16);
  setup.adam = true;
  const Schedule schedule(setup);
  EXPECT_EQ(schedule.at(0, 0).momentum, 0.937);
  EXPECT_EQ(schedule.at(0, 0).lr[0], 0.1);
  EXPECT_EQ(schedule.at(1, 0).momentum, 0.937);
}

// 64/12 over 104 iterations: at iteration 60 exactly 3.5 or a rounding below it, by the order of the
// operations. numpy.interp rounds to 3.5, and that to the even 4.
TEST(Schedule, RoundsHalvesAsThePeerDoes) {
  Schedule::Setup setup = setup_of(100, 26, 12);
  setup.hyp.warmup_epochs = 4;
  const Schedule schedule(setup);
  ASSERT_EQ(schedule.warmup_iterations(), 104);
  EXPECT_EQ(schedule.at(2, 8).accumulate, 4);
  EXPECT_EQ(schedule.at(2, 7).accumulate, 3);
}

}  // namespace
}  // namespace yolodist::optim
