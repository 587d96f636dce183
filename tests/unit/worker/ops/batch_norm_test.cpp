// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/ops/batch_norm.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/batch_norm.h>
#include <ATen/ops/empty.h>

#include <array>
#include <cmath>

#include "common/base/error.h"
#include "tests/unit/worker/ops/tensors.h"

namespace yolodist::ops {
namespace {

using test::expect_close;
using test::expect_same_bits;
using test::random_map;
using test::random_tensor;
using test::values_of;

at::ScalarType parameter_dtype(at::ScalarType dtype) {
  return (dtype == at::kBFloat16 || dtype == at::kHalf) ? at::kFloat : dtype;
}

BatchNorm norm_for(int64_t channels, at::ScalarType dtype) {
  const at::ScalarType type = parameter_dtype(dtype);
  return {.weight = random_tensor(1, {channels}, type, 0.5, 2),
          .bias = random_tensor(2, {channels}, type),
          .running_mean = random_tensor(3, {channels}, type),
          .running_variance = random_tensor(4, {channels}, type, 0.5, 2),
          .measures = true,
          .batch_mean = at::empty({channels}, type),
          .batch_variance = at::empty({channels}, type),
          .eps = 1e-3};
}

class Norms : public ::testing::TestWithParam<at::ScalarType> {
 protected:
  void SetUp() override { at::set_num_threads(1); }
};

// Mean and variance of values far from 0, over more rows than one block, to the last place of their dtype.
TEST_P(Norms, MeasureToTheLastPlace) {
  const at::Tensor x = random_map(5, {2, 5, 37, 41}, GetParam(), 3, 4);
  const BatchNorm norm = norm_for(5, GetParam());
  const Statistics statistics = statistics_of(x, norm);
  const at::Tensor exact = x.to(at::kDouble);
  constexpr std::array<int64_t, 3> dims{0, 2, 3};
  const double tolerance = GetParam() == at::kDouble ? 1e-13 : 1e-7;
  expect_close(statistics.mean, exact.mean(dims), tolerance, "mean");
  expect_close(statistics.variance, exact.var(dims, false), tolerance, "variance");
  expect_close(norm.batch_mean, exact.mean(dims), tolerance, "recorded mean");
  expect_close(norm.batch_variance, exact.var(dims, true), tolerance, "recorded variance");
  expect_close(statistics.inverse_deviation, (exact.var(dims, false) + 1e-3).rsqrt(), tolerance, "deviation");
}

TEST_P(Norms, DoNotDependOnThreads) {
  if (GetParam() == at::kDouble) {
    GTEST_SKIP() << "LibTorch's do";
  }
  const at::Tensor x = random_map(6, {3, 9, 61, 47}, GetParam());
  const BatchNorm norm = norm_for(9, GetParam());
  const Statistics one = statistics_of(x, norm);
  at::set_num_threads(3);
  const Statistics three = statistics_of(x, norm);
  at::set_num_threads(1);
  expect_same_bits(three.mean, one.mean, "mean");
  expect_same_bits(three.variance, one.variance, "variance");
}

TEST_P(Norms, OfASingleValueHaveNoVariance) {
  const BatchNorm norm = norm_for(4, GetParam());
  const Statistics statistics = statistics_of(random_map(7, {1, 4, 1, 1}, GetParam()), norm);
  for (const double variance : values_of(norm.batch_variance)) {
    EXPECT_TRUE(variance == 0 || std::isnan(variance));
  }
  EXPECT_NEAR(values_of(statistics.inverse_deviation)[0], 1 / std::sqrt(1e-3), 1e-5);
}

// LibTorch's batch norm by the same statistics, in double; forward and all three gradients.
TEST_P(Norms, AreLibTorchs) {
  const bool is_half = GetParam() == at::kBFloat16 || GetParam() == at::kHalf;
  const double tolerance = GetParam() == at::kDouble ? 1e-13 : is_half ? 5e-3 : 2e-7;
  const double sum_tolerance = GetParam() == at::kDouble ? 1e-13 : 2e-7;
  for (const bool measures : {true, false}) {
    BatchNorm norm = norm_for(6, GetParam());
    norm.measures = measures;
    const at::Tensor x = random_map(8, {2, 6, 13, 11}, GetParam(), -2, 3);
    const at::Tensor gradient = random_map(9, {2, 6, 13, 11}, GetParam());
    const Statistics statistics = statistics_of(x, norm);
    const NormGradients found = normalise_backward(gradient, false, x, norm, statistics, {});

    const auto leaf = [](const at::Tensor& tensor) {
      return tensor.to(at::kDouble, false, true).requires_grad_(true);
    };
    const at::Tensor lx = leaf(x), lw = leaf(norm.weight), lb = leaf(norm.bias);
    const at::Tensor y =
        at::batch_norm(lx, lw, lb, norm.running_mean.to(at::kDouble, false, true),
                       norm.running_variance.to(at::kDouble, false, true), measures, 0.1, 1e-3, false);
    y.backward(gradient.to(at::kDouble));
    expect_close(normalised(x, norm, statistics), y, tolerance, "output");
    expect_close(found.x, lx.grad(), tolerance, "gradient of x");
    expect_close(found.weight, lw.grad(), sum_tolerance, "gradient of the weight");
    expect_close(found.bias, lb.grad(), sum_tolerance, "gradient of the bias");
  }
}

TEST_P(Norms, GiveOnlyTheGradientsThatAreAskedFor) {
  const BatchNorm norm = norm_for(6, GetParam());
  const at::Tensor x = random_map(8, {2, 6, 3, 3}, GetParam());
  const NormGradients found = normalise_backward(x, false, x, norm, statistics_of(x, norm),
                                                 {.x = false, .weight = true, .bias = false});
  EXPECT_FALSE(found.x.defined());
  EXPECT_TRUE(found.weight.defined());
  EXPECT_FALSE(found.bias.defined());
}

// In place of a gradient that nobody else holds, or beside it: the same bits.
TEST_P(Norms, GoBackwardInPlace) {
  const int threads = GetParam() == at::kDouble ? 1 : 2;  // LibTorch's sums, for fp64, depend on them
  at::set_num_threads(threads);
  const BatchNorm norm = norm_for(6, GetParam());
  const at::Tensor x = random_map(8, {2, 6, 63, 67}, GetParam());
  const at::Tensor gradient = random_map(9, {2, 6, 63, 67}, GetParam());
  const at::Tensor place = gradient.clone();
  const Statistics statistics = statistics_of(x, norm);
  const NormGradients beside = normalise_backward(gradient, false, x, norm, statistics, {});
  const NormGradients in_place = normalise_backward(place, true, x, norm, statistics, {});
  at::set_num_threads(1);
  const NormGradients alone = normalise_backward(gradient, false, x, norm, statistics, {});
  EXPECT_EQ(in_place.x.const_data_ptr() == place.const_data_ptr(), GetParam() != at::kDouble);
  EXPECT_NE(beside.x.const_data_ptr(), gradient.const_data_ptr());
  for (const NormGradients& found : {in_place, alone}) {
    expect_same_bits(found.x, beside.x, "gradient of x");
    expect_same_bits(found.weight, beside.weight, "gradient of the weight");
    expect_same_bits(found.bias, beside.bias, "gradient of the bias");
  }
}

INSTANTIATE_TEST_SUITE_P(Dtypes, Norms, ::testing::Values(at::kFloat, at::kDouble, at::kHalf, at::kBFloat16),
                         [](const auto& test) { return std::string(c10::toString(test.param)); });

TEST(Norm, TakesChannelsLast) {
  EXPECT_THROW(statistics_of(random_tensor(1, {2, 3, 4, 5}), norm_for(3, at::kDouble)), InternalError);
}

}  // namespace
}  // namespace yolodist::ops
