// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/optim/gradients.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/tensors.h"

namespace yolodist::optim {
namespace {

using test::random_tensor;
using test::values_of;

double norm_of(const std::vector<at::Tensor>& tensors) {
  double squares = 0;
  for (const at::Tensor& tensor : tensors) {
    for (const double value : values_of(tensor)) {
      squares += value * value;
    }
  }
  return std::sqrt(squares);
}

TEST(Gradients, SmallOnesStayAsTheyAre) {
  const at::Tensor a = random_tensor(1, {100}), b = random_tensor(2, {50});
  const std::vector<double> before_a = values_of(a), before_b = values_of(b);
  const double norm = norm_of({a, b});
  ASSERT_LT(norm, 10);
  const GradientCheck check = unscale_and_clip({a, b}, {}, 10);
  EXPECT_NEAR(check.norm.item<double>(), norm, 1e-13);
  EXPECT_EQ(check.is_bad.item<double>(), 0);
  EXPECT_EQ(values_of(a), before_a);
  EXPECT_EQ(values_of(b), before_b);
}

TEST(Gradients, AreClippedByTheirCommonNorm) {
  for (const auto& [dtype, tolerance] : {std::pair{at::kDouble, 1e-13}, {at::kFloat, 1e-5}}) {
    const at::Tensor a = random_tensor(1, {100}, dtype, -30, 30),
                     b = random_tensor(2, {3, 4}, dtype, -30, 30);
    const std::vector<double> before_a = values_of(a), before_b = values_of(b);
    const double norm = norm_of({a, b});
    ASSERT_GT(norm, 10);
    EXPECT_NEAR(unscale_and_clip({a, b}, {}, 10).norm.item<double>(), norm, tolerance * norm);
    const double scale = 10 / (norm + 1e-6);  // torch's clip_grad_norm_
    for (size_t i = 0; i < before_a.size(); ++i) {
      EXPECT_NEAR(values_of(a)[i], before_a[i] * scale, tolerance);
    }
    for (size_t i = 0; i < before_b.size(); ++i) {
      EXPECT_NEAR(values_of(b)[i], before_b[i] * scale, tolerance);
    }
  }
}

// The norm, and what is clipped, are those without the loss scale.
TEST(Gradients, AreDividedByTheLossScale) {
  for (const double most : {1.0, 100.0}) {
    const at::Tensor plain = random_tensor(3, {200}, at::kFloat, -2, 2), scaled = plain * 65536;
    const GradientCheck expected = unscale_and_clip({plain}, {}, most);
    const GradientCheck found = unscale_and_clip({scaled}, at::full({}, 65536.0, at::kFloat), most);
    EXPECT_NEAR(found.norm.item<double>(), expected.norm.item<double>(), 1e-5);
    const std::vector<double> a = values_of(plain), b = values_of(scaled);
    for (size_t i = 0; i < a.size(); ++i) {
      EXPECT_NEAR(a[i], b[i], 1e-6) << "clipped to " << most;
    }
  }
}

TEST(Gradients, ThatAreNotFiniteAreFound) {
  for (const double value : {std::nan(""), HUGE_VAL, -HUGE_VAL}) {
    for (const bool has_scale : {false, true}) {
      const at::Tensor a = random_tensor(1, {10}), b = random_tensor(2, {10});
      b[3].fill_(value);
      const at::Tensor scale = has_scale ? at::full({}, 1024.0, at::kFloat) : at::Tensor();
      const GradientCheck check = unscale_and_clip({a, b}, scale, 10);
      EXPECT_EQ(check.is_bad.item<double>(), 1);
      EXPECT_FALSE(std::isfinite(check.norm.item<double>()));
    }
  }
}

}  // namespace
}  // namespace yolodist::optim
