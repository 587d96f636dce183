// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/train/stragglers.h"

#include <gtest/gtest.h>

#include <array>

namespace yolodist::train {
namespace {

using namespace std::chrono_literals;

class Stragglers : public testing::Test {
 protected:
  // Iterations of one second for `duration`; returns everybody named.
  std::vector<StragglerWatch::Late> pass(std::chrono::seconds duration, std::array<double, 4> own_ms) {
    std::vector<StragglerWatch::Late> named;
    for (auto end = now_ + duration; now_ < end;) {
      now_ += 1s;
      for (const auto& late : watch_.add(own_ms, now_)) {
        named.push_back(late);
      }
    }
    return named;
  }
  StragglerWatch::Clock::time_point now_{};
  StragglerWatch watch_{4, {}, now_};
};

TEST_F(Stragglers, NamesWhoIsLateForAWhile) {
  EXPECT_TRUE(pass(59s, {100, 100, 100, 140}).empty());
  const auto named = pass(2s, {100, 100, 100, 140});
  ASSERT_EQ(named.size(), 1u);
  EXPECT_EQ(named[0].rank, 3);
  EXPECT_DOUBLE_EQ(named[0].own_ms, 140);
  EXPECT_DOUBLE_EQ(named[0].median_ms, 100);
  EXPECT_EQ(named[0].since, 60s);
  EXPECT_TRUE(pass(580s, {100, 100, 100, 140}).empty()) << "said once is enough for ten minutes";
  EXPECT_EQ(pass(30s, {100, 100, 100, 140}).size(), 1u);
}

TEST_F(Stragglers, AShortDelayIsNotNamed) {
  for (int i = 0; i < 10; ++i) {
    EXPECT_TRUE(pass(50s, {100, 500, 100, 100}).empty());
    EXPECT_TRUE(pass(10s, {100, 100, 100, 100}).empty());
  }
}

TEST_F(Stragglers, ALittleIsNotNamed) {
  EXPECT_TRUE(pass(300s, {100, 100, 129, 100}).empty()) << "below the factor";
  EXPECT_TRUE(pass(300s, {1, 1, 5, 1}).empty()) << "nobody feels 4 ms";
}

TEST_F(Stragglers, TheMedianIsThatOfTheOthers) {
  const auto named = pass(70s, {100, 100, 200, 200});
  EXPECT_EQ(named.size(), 2u) << "two of four against the median of the other three";
}

TEST(StragglersOfTwo, TheOtherIsTheMeasure) {
  StragglerWatch::Clock::time_point now{};
  StragglerWatch watch(2, {}, now);
  std::vector<StragglerWatch::Late> named;
  for (int i = 0; i < 70; ++i) {
    now += 1s;
    for (const auto& late : watch.add(std::array<double, 2>{300, 100}, now)) {
      named.push_back(late);
    }
  }
  ASSERT_EQ(named.size(), 1u);
  EXPECT_EQ(named[0].rank, 0);
}

TEST(StragglersLine, NamesRankHostAndHowMuch) {
  const std::string line = line_of({1, 150, 100, 60s}, {"a", "b"});
  EXPECT_NE(line.find("rank 1 on b holds up the others: for 60 s now it takes 150 ms"), std::string::npos)
      << line;
  EXPECT_NE(line.find("100 ms (1.5 times as long)"), std::string::npos) << line;
}

TEST(StragglersAlone, NobodyIsLate) {
  StragglerWatch::Clock::time_point now{};
  StragglerWatch watch(1, {}, now);
  for (int i = 0; i < 200; ++i) {
    now += 1s;
    EXPECT_TRUE(watch.add(std::array<double, 1>{300}, now).empty());
  }
}

}  // namespace
}  // namespace yolodist::train
