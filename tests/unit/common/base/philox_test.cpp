// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/base/philox.h"

#include <array>
#include <cmath>
#include <functional>
#include <set>

#include <gmock/gmock.h>

namespace yolodist {
namespace {

using testing::ElementsAre;

struct Moments {
  double mean = 0, variance = 0;
};

constexpr int sample_count = 100000;

Moments moments_of(const std::function<double()>& draw) {
  double sum = 0, squares = 0;
  for (int i = 0; i < sample_count; ++i) {
    const double value = draw();
    sum += value;
    squares += value * value;
  }
  const double mean = sum / sample_count;
  return {mean, squares / sample_count - mean * mean};
}

// Known answers of Random123's kat_vectors for philox4x32-10.
TEST(Philox, GivesThePublishedAnswers) {
  const auto block = [](std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
    return philox4x32(counter.data(), key.data());
  };
  EXPECT_THAT(block({0, 0, 0, 0}, {0, 0}).word, ElementsAre(0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8));
  constexpr uint32_t ones = 0xffffffff;
  EXPECT_THAT(block({ones, ones, ones, ones}, {ones, ones}).word,
              ElementsAre(0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd));
  EXPECT_THAT(block({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}).word,
              ElementsAre(0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1));
}

TEST(Draws, AreAFunctionOfTheirArguments) {
  Draws64 first(7, RandomStream::augment, 3, 5), again(7, RandomStream::augment, 3, 5);
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(first.bits(), again.bits());
  }
}

TEST(Draws, DifferInEveryArgument) {
  std::set<uint32_t> firsts;
  for (const uint64_t seed : {uint64_t{1}, uint64_t{2}, uint64_t{1} << 32}) {
    for (const RandomStream stream : {RandomStream::shuffle, RandomStream::augment}) {
      for (const uint32_t a : {0u, 1u}) {
        for (const uint32_t b : {0u, 1u}) {
          firsts.insert(Draws64(seed, stream, a, b).bits());
        }
      }
    }
  }
  EXPECT_EQ(firsts.size(), 24u);
}

TEST(Draws, CopyGoesOnAlike) {
  Draws64 draws(1, RandomStream::weights, 0);
  draws.bits();
  Draws64 copy = draws;
  EXPECT_EQ(draws.uniform(), copy.uniform());
}

// Tolerances are about five standard errors of 100000 draws.
TEST(Draws, UniformFillsItsInterval) {
  Draws64 draws(1, RandomStream::augment, 0);
  const Moments unit = moments_of([&] {
    const double value = draws.uniform();
    EXPECT_TRUE(value >= 0 && value < 1);
    return value;
  });
  EXPECT_NEAR(unit.mean, 0.5, 0.005);
  EXPECT_NEAR(unit.variance, 1.0 / 12, 0.0015);
  const Moments wide = moments_of([&] { return draws.uniform(-2, 4); });
  EXPECT_NEAR(wide.mean, 1, 0.03);
  EXPECT_NEAR(wide.variance, 3, 0.05);
}

TEST(Draws, NormalHasMeanZeroAndDeviationOne) {
  Draws64 draws(1, RandomStream::weights, 0);
  const Moments moments = moments_of([&] { return draws.normal(); });
  EXPECT_NEAR(moments.mean, 0, 0.016);
  EXPECT_NEAR(moments.variance, 1, 0.023);
}

TEST(Draws, BetaHasItsMeanAndVariance) {
  struct Case {
    double a, b;
  };
  for (const auto& [a, b] : {Case{32, 32}, Case{2, 5}, Case{5, 2}, Case{1, 3}, Case{1, 1}}) {
    Draws64 draws(1, RandomStream::augment, 0);
    const Moments moments = moments_of([&, a = a, b = b] {
      const double value = draws.beta(a, b);
      EXPECT_TRUE(value >= 0 && value <= 1);
      return value;
    });
    const double variance = a * b / ((a + b) * (a + b) * (a + b + 1));
    EXPECT_NEAR(moments.mean, a / (a + b), 5 * std::sqrt(variance / sample_count)) << a << " " << b;
    EXPECT_NEAR(moments.variance, variance, 0.03 * variance) << a << " " << b;
  }
}

TEST(Draws, BelowIsEvenAndStaysBelow) {
  Draws64 draws(1, RandomStream::shuffle, 0);
  std::array<int, 7> counts{};
  for (int i = 0; i < sample_count; ++i) {
    const uint32_t value = draws.below(7);
    ASSERT_LT(value, 7u);
    ++counts[value];
  }
  double chi_squared = 0;
  constexpr double expected = sample_count / 7.0;
  for (const int count : counts) {
    chi_squared += (count - expected) * (count - expected) / expected;
  }
  EXPECT_LT(chi_squared, 22.5);  // 6 degrees of freedom: passed by chance with probability 0.999
  EXPECT_EQ(draws.below(1), 0u);
}

// 3 * 2^30 does not divide 2^32: without rejection the lower third would get half of the draws.
TEST(Draws, BelowRejectsTheUnevenRemainder) {
  Draws64 draws(1, RandomStream::shuffle, 0);
  int in_lower_third = 0;
  for (int i = 0; i < sample_count; ++i) {
    in_lower_third += draws.below(3u << 30) % 3 == 0 ? 1 : 0;
  }
  EXPECT_NEAR(in_lower_third, sample_count / 3.0, 5 * std::sqrt(sample_count * 2.0 / 9.0));
}

}  // namespace
}  // namespace yolodist
