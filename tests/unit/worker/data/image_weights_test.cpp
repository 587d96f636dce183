// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/data/image_weights.h"

#include <algorithm>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace yolodist::data {
namespace {

using testing::Each;
using testing::ElementsAre;

Index index_of(const std::vector<std::vector<int>>& classes_of_pictures) {
  Index index;
  for (const std::vector<int>& classes : classes_of_pictures) {
    Picture picture;
    for (const int c : classes) {
      picture.targets.push_back({c, 0.5f, 0.5f, 0.1f, 0.1f});
    }
    index.pictures.push_back(std::move(picture));
  }
  return index;
}

TEST(ClassWeights, AreInverseCountsThatSumToTheClasses) {
  const std::vector<double> weights = class_weights(index_of({{0, 0, 0, 0}, {1}, {}}), 3);
  // 1/4, 1 and, for none, 1; together 2.25.
  EXPECT_THAT(weights, ElementsAre(testing::DoubleEq(1.0 / 3), testing::DoubleEq(4.0 / 3),
                                   testing::DoubleEq(4.0 / 3)));
}

TEST(ImageWeights, FallWithTheMapOfTheirClasses) {
  const Index index = index_of({{0}, {1}, {0, 1, 1}, {}});
  const std::vector<double> weights =
      image_weights(index, std::vector<double>{1.0, 1.0}, std::vector<double>{0.5, 0.0});
  EXPECT_THAT(weights, ElementsAre(0.125, 0.5, 1.125, 0.0));
}

TEST(PickedByWeight, FollowsTheSums) {
  const std::vector<double> weights = {1, 0, 3};
  EXPECT_THAT(picked_by_weight(weights, std::vector<double>{0.0, 0.2499, 0.25, 0.9999}),
              ElementsAre(0, 0, 2, 2));
  EXPECT_THAT(picked_by_weight(std::vector<double>{0, 0}, std::vector<double>{0.1, 0.9}), ElementsAre(0, 1));
}

TEST(WeightedEpochOrder, DrawsByWeightFromCounters) {
  std::vector<double> weights(1000, 0.0);
  weights[10] = 1;
  weights[20] = 3;
  const std::vector<int> order = weighted_epoch_order(weights, 5, 2);
  ASSERT_EQ(order.size(), 1000u);
  EXPECT_THAT(order, Each(testing::AnyOf(10, 20)));
  EXPECT_NEAR(static_cast<double>(std::count(order.begin(), order.end(), 20)), 750, 70);  // five deviations
  EXPECT_EQ(order, weighted_epoch_order(weights, 5, 2));
  EXPECT_NE(order, weighted_epoch_order(weights, 5, 3));
  EXPECT_NE(order, weighted_epoch_order(weights, 6, 2));
}

TEST(TakePartnersFrom, TurnsPlacesIntoPictures) {
  Draws draws;
  draws.first.partners = {0, 2, 1};
  draws.second.partners = {1, 1, 0};
  draws.mixup_picture = 2;
  take_partners_from(draws, std::vector<int>{7, 7, 9});
  EXPECT_THAT(draws.first.partners, ElementsAre(7, 9, 7));
  EXPECT_THAT(draws.second.partners, ElementsAre(7, 7, 7));
  EXPECT_EQ(draws.mixup_picture, 2);
}

}  // namespace
}  // namespace yolodist::data
