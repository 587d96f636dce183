// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/ops/activation.h"

#include <ATen/core/Tensor.h>

#include "tests/unit/worker/ops/tensors.h"

namespace yolodist::ops {
namespace {

using test::expect_same_bits;
using test::random_map;

// Counts how often it is asked.
class Fixed : public Recipe {
 public:
  explicit Fixed(at::Tensor value) : value_(std::move(value)) {}
  at::Tensor rebuild() const override {
    ++times;
    return value_.clone();
  }
  mutable int times = 0;

 private:
  at::Tensor value_;
};

class Recipes : public ::testing::TestWithParam<at::ScalarType> {
 protected:
  static Activation with_recipe(uint32_t seed, const std::vector<int64_t>& shape) {
    const at::Tensor value = random_map(seed, shape, GetParam());
    return {value, std::make_shared<const Fixed>(value)};
  }
};

TEST_P(Recipes, OfAJoinGiveItAgain) {
  const Activation a = with_recipe(1, {2, 3, 5, 4});
  const Activation b{random_map(2, {2, 8, 5, 4}, GetParam()), nullptr};
  const Activation c = with_recipe(3, {2, 1, 5, 4});
  const Activation joined = join({a, b, c}, true);
  ASSERT_TRUE(joined.from);
  const at::Tensor again = joined.from->rebuild();
  expect_same_bits(again, joined.value, "join");
  EXPECT_TRUE(again.is_contiguous(at::MemoryFormat::ChannelsLast));
  EXPECT_EQ(static_cast<const Fixed&>(*a.from).times, 1);
  EXPECT_EQ(joined.value.size(1), 12);
}

TEST_P(Recipes, OfAJoinNeedOnePartWithARecipeAndAWish) {
  const Activation plain{random_map(1, {1, 2, 3, 3}, GetParam()), nullptr};
  EXPECT_FALSE(join({plain, plain}, true).from);
  EXPECT_FALSE(join({with_recipe(1, {1, 2, 3, 3}), plain}, false).from);
}

// A join keeps a part's recipe in place of its value.
TEST_P(Recipes, OfAJoinHoldNoValueThatCanBeMadeAgain) {
  Activation a = with_recipe(1, {1, 2, 3, 3});
  Activation b{random_map(2, {1, 2, 3, 3}, GetParam()), nullptr};
  const Activation joined = join({a, b}, true);
  EXPECT_EQ(a.value.storage().use_count(), 1U) << "one tensor, in the activation and in its recipe";
  EXPECT_EQ(b.value.storage().use_count(), 2U) << "the activation and the join";
}

TEST_P(Recipes, OfAnUpsampleGiveItAgain) {
  const Activation small = with_recipe(4, {2, 3, 5, 4});
  const Activation large = upsample(small, 2);
  EXPECT_EQ(large.value.size(2), 10);
  ASSERT_TRUE(large.from);
  expect_same_bits(large.from->rebuild(), large.value, "upsample");
  EXPECT_FALSE(upsample({small.value, nullptr}, 2).from);
}

INSTANTIATE_TEST_SUITE_P(Dtypes, Recipes,
                         ::testing::Values(at::kFloat, at::kDouble, at::kHalf, at::kBFloat16),
                         [](const auto& test) { return std::string(c10::toString(test.param)); });

}  // namespace
}  // namespace yolodist::ops
