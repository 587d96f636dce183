// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/model/initialise.h"

#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "common/base/philox.h"
#include "common/base/text.h"
#include "tests/support/tensors.h"
#include "tests/unit/worker/model/small_models.h"

namespace yolodist::model {
namespace {

using Role = model_spec::StateEntry::Role;
using test::shipped;
using test::values_of;

Model initialised(const std::string& name, int class_count, at::ScalarType dtype, uint64_t seed) {
  Model model(shipped(name, class_count), dtype);
  initialise(model, seed);
  return model;
}

size_t position_of(const Model& model, const std::string& name) {
  const auto& entries = model.state.entries();
  for (size_t i = 0; i < entries.size(); ++i) {
    if (entries[i].name == name) {
      return i;
    }
  }
  ADD_FAILURE() << "no entry " << name;
  return 0;
}

// What the bias of a level has more than the uniform numbers that it began with: [anchor][output].
std::vector<std::vector<double>> added_to_bias(const Model& model, const std::string& name, uint64_t seed) {
  const double bound = 1 / std::sqrt(static_cast<double>(model.state.at(name + ".weight").size(1)));
  Draws64 draws(seed, RandomStream::weights, static_cast<uint32_t>(position_of(model, name + ".bias")));
  const std::vector<double> bias = values_of(model.state.at(name + ".bias"));
  std::vector<std::vector<double>> added(3);
  for (size_t k = 0; k < bias.size(); ++k) {
    added[k * 3 / bias.size()].push_back(bias[k] - draws.uniform(-bound, bound));
  }
  return added;
}

// Expected values have six digits after the point; 1e-6 is also what fp32 leaves of 11.
void expect_priors(const std::string& name, int class_count, const std::vector<double>& object_priors,
                   double class_prior) {
  constexpr uint64_t seed = 5;
  const Model model = initialised(name, class_count, at::kFloat, seed);
  for (size_t level = 0; level < object_priors.size(); ++level) {
    const std::string detect = cat("model.", model.spec.layers.back().index, ".m.", level);
    for (const std::vector<double>& added : added_to_bias(model, detect, seed)) {
      ASSERT_EQ(added.size(), static_cast<size_t>(5 + class_count));
      for (size_t output = 0; output < added.size(); ++output) {
        const double prior = output < 4 ? 0 : output == 4 ? object_priors[level] : class_prior;
        EXPECT_NEAR(added[output], prior, 2e-6) << detect << ", output " << output;
      }
    }
  }
}

TEST(Initialise, DetectBiasesHaveTheirPriors) {
  expect_priors("yolov5n6", 80, {-6.684612, -5.298317, -3.912023, -2.525729}, -4.880274);
  expect_priors("yolov5n", 20, {-6.684612, -5.298317, -3.912023}, -3.455265);
  expect_priors("yolov5n", 2, {-6.684612, -5.298317, -3.912023}, -0.510836);
  expect_priors("yolov5n", 1, {-6.684612, -5.298317, -3.912023}, std::log(0.6 / 0.00001));
  EXPECT_NEAR(std::log(0.6 / 0.00001), 11.0021, 5e-5);
}

TEST(Initialise, BatchNormsAreAsTheStrideProbeLeavesThem) {
  const Model model = initialised("yolov5n", 80, at::kFloat, 0);
  for (size_t i = 0; i < model.state.size(); ++i) {
    const model_spec::StateEntry& entry = model.state.entries()[i];
    double expected = 0;
    switch (entry.role) {
      case Role::bn_weight:
      case Role::bn_count:
        expected = 1;
        break;
      case Role::bn_bias:
      case Role::bn_mean:
        break;
      case Role::bn_var:
        expected = 0.9F;
        break;
      default:
        continue;
    }
    for (const double value : values_of(model.state[i])) {
      ASSERT_EQ(value, expected) << entry.name;
    }
  }
}

TEST(Initialise, ConvolutionsFillTheirInterval) {
  const Model model = initialised("yolov5n", 80, at::kFloat, 3);
  std::set<double> firsts;
  for (size_t i = 0; i < model.state.size(); ++i) {
    if (model.state.entries()[i].role != Role::conv_weight) {
      continue;
    }
    const std::vector<double> values = values_of(model.state[i]);
    const double fan_in = static_cast<double>(values.size()) / static_cast<double>(model.state[i].size(0));
    double low = 1, high = -1, squares = 0;
    for (const double value : values) {
      low = std::min(low, value * std::sqrt(fan_in));
      high = std::max(high, value * std::sqrt(fan_in));
      squares += value * value * fan_in;
    }
    EXPECT_GE(low, -1.0000001) << model.state.entries()[i].name;
    EXPECT_LE(high, 1.0000001) << model.state.entries()[i].name;
    EXPECT_LT(low, -0.9) << model.state.entries()[i].name;
    EXPECT_GT(high, 0.9) << model.state.entries()[i].name;
    // A uniform variable's variance is 1/3, that of its square 4/45: five deviations of the mean over n.
    const double count = static_cast<double>(values.size());
    EXPECT_NEAR(squares / count, 1.0 / 3, 5 * std::sqrt(4.0 / 45 / count)) << model.state.entries()[i].name;
    firsts.insert(values[0] * std::sqrt(fan_in));
  }
  EXPECT_GT(firsts.size(), 55U) << "every convolution has numbers of its own";
}

TEST(Initialise, IsAFunctionOfTheSeed) {
  const Model model = initialised("yolov5n", 80, at::kFloat, 7);
  EXPECT_EQ(fingerprint(model.state), fingerprint(initialised("yolov5n", 80, at::kFloat, 7).state));
  EXPECT_NE(fingerprint(model.state), fingerprint(initialised("yolov5n", 80, at::kFloat, 8).state));
  Model again = initialised("yolov5n", 80, at::kFloat, 8);
  initialise(again, 7);  // whatever it held before
  EXPECT_EQ(fingerprint(model.state), fingerprint(again.state));
}

TEST(Initialise, DoublePrecisionStartsFromTheSameNumbers) {
  for (const int class_count : {1, 80}) {
    const Model single = initialised("yolov5n", class_count, at::kFloat, 11);
    const Model twice = initialised("yolov5n", class_count, at::kDouble, 11);
    for (size_t i = 0; i < single.state.size(); ++i) {
      EXPECT_EQ(values_of(single.state[i]), values_of(twice.state[i])) << single.state.entries()[i].name;
    }
  }
}

TEST(Initialise, AnchorsAreInGridUnits) {
  const Model model = initialised("yolov5n", 80, at::kDouble, 0);
  const std::vector<double> anchors = values_of(model.state.at("model.24.anchors"));
  ASSERT_EQ(anchors.size(), 18U);
  EXPECT_EQ(anchors[0], 10.0 / 8);
  EXPECT_EQ(anchors[1], 13.0 / 8);
  EXPECT_EQ(anchors[6], 30.0 / 16);
  EXPECT_EQ(anchors[17], 326.0 / 32);
  const auto grid = grid_anchors(model);
  EXPECT_EQ(grid.at(2).at(2), (std::array<float, 2>{373.0F / 32, 326.0F / 32}));
}

}  // namespace
}  // namespace yolodist::model
