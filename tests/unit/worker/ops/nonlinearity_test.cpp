// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/ops/nonlinearity.h"

#include <ATen/ops/hardswish.h>
#include <ATen/ops/leaky_relu.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/silu.h>

#include <functional>

#include "common/base/error.h"
#include "tests/unit/worker/ops/tensors.h"

namespace yolodist::ops {
namespace {

using test::expect_same_bits;
using test::random_map;

// A name of the layer table and LibTorch's function, whose own autograd gives the expected gradient.
struct Case {
  std::string name;
  std::function<at::Tensor(const at::Tensor&)> function;
};

const std::vector<Case>& cases() {
  static const std::vector<Case> all = {
      {"SiLU", [](const at::Tensor& x) { return at::silu(x); }},
      {"ReLU", [](const at::Tensor& x) { return at::relu(x); }},
      {"LeakyReLU(0.1)", [](const at::Tensor& x) { return at::leaky_relu(x, 0.1); }},
      {"Hardswish", [](const at::Tensor& x) { return at::hardswish(x); }},
  };
  return all;
}

class Nonlinearities : public ::testing::TestWithParam<at::ScalarType> {};

// 1057 values: vectors and a rest.
TEST_P(Nonlinearities, InPlaceGiveTheSameBits) {
  for (const Case& c : cases()) {
    const Nonlinearity f = nonlinearity_of(c.name);
    const at::Tensor u = random_map(1, {1, 7, 151, 1}, GetParam(), -5, 5);
    const at::Tensor expected = c.function(u);
    expect_same_bits(apply(f, u), expected, c.name);
    const at::Tensor place = u.clone();
    const at::Tensor found = apply_in_place(f, place);
    expect_same_bits(found, expected, c.name);
    EXPECT_EQ(found.const_data_ptr(), place.const_data_ptr()) << c.name;
  }
}

TEST_P(Nonlinearities, GoBackwardAsLibTorchDoes) {
  for (const Case& c : cases()) {
    // The gradient is part of a larger tensor, as behind a concatenation, or a tensor of its own.
    const at::Tensor wide = random_map(2, {2, 24, 11, 5}, GetParam());
    for (const at::Tensor& gradient :
         {wide.narrow(1, 8, 16), wide.narrow(1, 0, 16).contiguous(at::MemoryFormat::ChannelsLast)}) {
      const at::Tensor u = random_map(1, {2, 16, 11, 5}, GetParam(), -5, 5);
      const at::Tensor leaf = u.clone().requires_grad_(true);
      c.function(leaf).backward(gradient);
      expect_same_bits(backward(nonlinearity_of(c.name), gradient, u.clone()), leaf.grad(), c.name);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Dtypes, Nonlinearities,
                         ::testing::Values(at::kFloat, at::kDouble, at::kHalf, at::kBFloat16),
                         [](const auto& test) { return std::string(c10::toString(test.param)); });

TEST(Nonlinearity, IsKnownByTheNameOfTheLayerTable) {
  EXPECT_TRUE(nonlinearity_of("Identity").is_identity());
  EXPECT_EQ(nonlinearity_of("LeakyReLU(0.25)").slope, 0.25);
  EXPECT_THROW(nonlinearity_of("Mish"), InternalError);
}

TEST(Nonlinearity, IdentityChangesNothing) {
  const at::Tensor u = random_map(1, {1, 2, 3, 4});
  const Nonlinearity f = nonlinearity_of("Identity");
  EXPECT_TRUE(apply(f, u).is_same(u));
  EXPECT_TRUE(apply_in_place(f, u).is_same(u));
}

}  // namespace
}  // namespace yolodist::ops
