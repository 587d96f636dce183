// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/plan/policies.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "common/plan/planning.h"
#include "tests/unit/common/plan/simple_model.h"

namespace yolodist::plan {
namespace {

using test::four_layers;
using test::simple_device;
using test::simple_request;
using test::SimpleModel;

// The fastest of all 3^n policies that fits; infinite if none does.
double exhaustive_seconds(const SimpleModel& model, int pictures, int64_t budget_bytes) {
  const size_t count = model.layers.size();
  double best = std::numeric_limits<double>::infinity();
  Workload w;
  w.recompute.assign(count, Recompute::none);
  for (int code = 0; code < static_cast<int>(std::pow(3, count)); ++code) {
    int rest = code;
    for (size_t layer = 0; layer < count; ++layer, rest /= 3) {
      w.recompute[layer] = static_cast<Recompute>(rest % 3);
    }
    w.pictures = pictures;
    const int64_t bytes = model.estimate(w).training_bytes;
    w.pictures = 1;
    if (bytes <= budget_bytes) {
      best = std::min(best, seconds_of(model.work(w), simple_device(0)));
    }
  }
  return best;
}

SimpleModel random_model(uint32_t seed) {
  SimpleModel model;
  const auto next = [&seed] {
    seed = seed * 1664525 + 1013904223;
    return static_cast<int>(seed >> 24);
  };
  for (int i = 0; i < 7; ++i) {
    test::SimpleLayer layer;
    layer.bytes = 200 + 10 * next();
    layer.activations_bytes = layer.bytes * (40 + next() / 8) / 100;
    layer.block_bytes = layer.bytes * (5 + next() / 16) / 100;
    layer.moment_bytes = layer.bytes / 2;
    layer.seconds = 0.5 + next() / 128.0;
    layer.activations_seconds = 0.02 + next() / 5000.0;
    layer.block_seconds = 0.2 + next() / 1000.0;
    model.layers.push_back(layer);
  }
  return model;
}

TEST(Policies, GoFromNothingToEverythingFastestFirst) {
  const SimpleModel model = four_layers();
  const model_spec::ModelSpec spec = model.spec();
  const std::vector<Policy> policies = policies_of(spec, {}, model.estimator(), simple_device(0));
  EXPECT_EQ(policies.front().recompute, RecomputePlan(4, Recompute::none));
  EXPECT_DOUBLE_EQ(policies.front().seconds, 4);
  EXPECT_EQ(policies.back().recompute, RecomputePlan(4, Recompute::block));
  for (size_t i = 1; i < policies.size(); ++i) {
    EXPECT_LE(policies[i - 1].seconds, policies[i].seconds);
  }
}

TEST(Policies, AreWithinAFewPercentOfTheBestOfAll) {
  int compared = 0;
  double excess = 0;
  for (uint32_t seed = 1; seed <= 12; ++seed) {
    const SimpleModel model = random_model(seed);
    const model_spec::ModelSpec spec = model.spec();
    const Request request = simple_request(spec, 2, {simple_device(0)});
    const Estimator estimator = model.estimator();
    Planning planning(request, estimator);
    const int64_t most =
        planning.training(request.devices[0], 2, RecomputePlan(7, Recompute::none)).training_bytes;
    for (int percent = 10; percent <= 100; percent += 5) {
      const int64_t budget = most * percent / 100;
      const double best = exhaustive_seconds(model, 2, budget);
      const Choice choice = planning.choose(request.devices[0], 2, budget);
      if (!std::isfinite(best)) {
        EXPECT_FALSE(choice.fits);
        continue;
      }
      ++compared;
      ASSERT_TRUE(choice.fits) << "seed " << seed << ", " << percent << " %";
      EXPECT_LE(choice.policy.seconds, best * 1.05) << "seed " << seed << ", " << percent << " %";
      excess += choice.policy.seconds / best - 1;
    }
  }
  EXPECT_GT(compared, 100);
  EXPECT_LT(excess / compared, 0.01) << "on average";
}

TEST(Policies, MoreMemoryIsNeverSlower) {
  for (uint32_t seed = 1; seed <= 6; ++seed) {
    const SimpleModel model = random_model(seed);
    const model_spec::ModelSpec spec = model.spec();
    const Request request = simple_request(spec, 1, {simple_device(0)});
    const Estimator estimator = model.estimator();
    Planning planning(request, estimator);
    double before = std::numeric_limits<double>::infinity();
    for (int64_t budget = 100; budget < 15000; budget += 40) {
      const Choice choice = planning.choose(request.devices[0], 1, budget);
      if (!choice.fits) {
        EXPECT_TRUE(std::isinf(before)) << "fitted into less";
        continue;
      }
      EXPECT_LE(choice.policy.seconds, before);
      EXPECT_LE(choice.estimate.device_bytes, budget);
      before = choice.policy.seconds;
    }
    EXPECT_TRUE(std::isfinite(before));
  }
}

TEST(Policies, TheFirstLayerToGoPaysBest) {
  SimpleModel model = four_layers();
  model.layers[2].activations_seconds = 0.001;
  const model_spec::ModelSpec spec = model.spec();
  const Request request = simple_request(spec, 1, {simple_device(0)});
  const Estimator estimator = model.estimator();
  Planning planning(request, estimator);
  const Choice choice = planning.choose(request.devices[0], 1, 100 + 92);  // 8 of 200 bytes too many
  EXPECT_THAT(choice.policy.recompute, testing::ElementsAre(Recompute::none, Recompute::none,
                                                            Recompute::activations, Recompute::none));
}

}  // namespace
}  // namespace yolodist::plan
