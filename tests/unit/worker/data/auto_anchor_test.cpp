// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/data/auto_anchor.h"

#include <chrono>
#include <cmath>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/philox.h"
#include "common/base/text.h"

namespace yolodist::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const Anchors p5 = {
    {{10, 13}, {16, 30}, {33, 23}}, {{30, 61}, {62, 45}, {59, 119}}, {{116, 90}, {156, 198}, {373, 326}}};

// Square pictures of 640 with `per_picture` labels each, sides log-uniform between two numbers of pixels.
Index index_of(int picture_count, int per_picture, double smallest_px, double largest_px) {
  Draws64 draws(1, RandomStream::weights, 0);
  Index index;
  for (int i = 0; i < picture_count; ++i) {
    Picture picture;
    picture.width_px = picture.height_px = 640;
    for (int k = 0; k < per_picture; ++k) {
      const double w = smallest_px * std::pow(largest_px / smallest_px, draws.uniform());
      const double h = smallest_px * std::pow(largest_px / smallest_px, draws.uniform());
      picture.targets.push_back({0, 0.5f, 0.5f, static_cast<float>(w / 640), static_cast<float>(h / 640)});
    }
    index.pictures.push_back(std::move(picture));
  }
  return index;
}

TEST(LabelSides, AreThoseAtTheTrainingSide) {
  Index index;
  Picture picture;
  picture.width_px = 1000;
  picture.height_px = 500;
  picture.targets = {{0, 0.5f, 0.5f, 0.5f, 0.5f}};
  index.pictures = {picture};
  const std::vector<LabelSides> sides = label_sides(index, 640);
  ASSERT_EQ(sides.size(), 1u);
  EXPECT_FLOAT_EQ(sides[0].w, 320);
  EXPECT_FLOAT_EQ(sides[0].h, 160);
  EXPECT_FLOAT_EQ(label_sides(index, 640, std::vector<double>{1.1})[0].h, 176);
}

TEST(AnchorJitter, IsWithinATenthAndDependsOnTheSeed) {
  const std::vector<double> factors = anchor_jitter(1000, 3);
  EXPECT_THAT(factors, testing::Each(testing::AllOf(testing::Ge(0.9), testing::Lt(1.1))));
  EXPECT_EQ(factors, anchor_jitter(1000, 3));
  EXPECT_NE(factors, anchor_jitter(1000, 4));
}

TEST(AnchorFit, CountsRatiosUnderTheThreshold) {
  const std::vector<LabelSides> sides = {{10, 10}, {10, 41}, {100, 100}};
  const std::vector<Anchor> anchors = {{10, 10}, {39, 39}};
  const AnchorFit fit = anchor_fit(sides, anchors, 4.0);
  EXPECT_DOUBLE_EQ(fit.best_possible_recall, 1.0);
  EXPECT_DOUBLE_EQ(fit.anchors_per_target, 4.0 / 3);  // 10: both; 10 x 41: the second; 100: the second
  EXPECT_DOUBLE_EQ(anchor_fit(sides, std::vector<Anchor>{{1, 1}}, 4.0).best_possible_recall, 0);
  EXPECT_DOUBLE_EQ(anchor_fit({}, anchors, 4.0).best_possible_recall, 0);
  // Exactly the ratio is too much.
  EXPECT_DOUBLE_EQ(
      anchor_fit(std::vector<LabelSides>{{40, 40}}, std::vector<Anchor>{{10, 10}}, 4.0).best_possible_recall,
      0);
}

TEST(CheckAnchors, KeepsAnchorsThatFit) {
  const AnchorReport report = check_anchors(index_of(50, 10, 12, 300), p5, 4.0, 640, 0);
  EXPECT_GT(report.fit.best_possible_recall, 0.98);
  EXPECT_FALSE(report.better);
  EXPECT_FALSE(report.new_fit);
  ASSERT_EQ(report.lines.size(), 1u);
  EXPECT_EQ(report.lines[0],
            printf_string("AutoAnchor: %.2f anchors/target, %.3f Best Possible Recall (BPR). The anchors fit "
                          "the labels.",
                          report.fit.anchors_per_target, report.fit.best_possible_recall));
}

TEST(CheckAnchors, FindsBetterOnesForSmallObjects) {
  const Index index = index_of(50, 10, 2.5, 8);
  const AnchorReport report = check_anchors(index, p5, 4.0, 640, 0);
  EXPECT_LT(report.fit.best_possible_recall, 0.8);
  ASSERT_TRUE(report.better);
  EXPECT_GT(report.new_fit->best_possible_recall, 0.98);
  ASSERT_EQ(report.better->size(), 3u);
  double area = 0;
  for (const std::vector<Anchor>& level : *report.better) {
    ASSERT_EQ(level.size(), 3u);
    for (const auto& [w, h] : level) {
      EXPECT_GE(w * h, area);
      EXPECT_GE(std::min(w, h), 2);
      area = w * h;
    }
  }
  EXPECT_EQ(check_anchors(index, p5, 4.0, 640, 0).better, report.better);
  EXPECT_NE(check_anchors(index, p5, 4.0, 640, 1).better, report.better);
  EXPECT_THAT(report.lines, ElementsAre(HasSubstr("looking for 9 better ones"),
                                        HasSubstr("labels are under 3 px in width or height at 640 px"),
                                        HasSubstr("The model takes these")));
}

TEST(CheckAnchors, FillsPlaceholders) {
  const Anchors placeholders(3, {{0, 1}, {2, 3}, {4, 5}, {6, 7}});  // hyp.anchors: 4
  const AnchorReport report = check_anchors(index_of(50, 10, 12, 300), placeholders, 4.0, 640, 0);
  ASSERT_TRUE(report.better);
  EXPECT_EQ(report.better->at(2).size(), 4u);
}

TEST(CheckAnchors, KeepsItsOwnWhenNothingIsBetter) {
  Index index = index_of(4, 1, 10, 20);
  for (Picture& picture : index.pictures) {
    picture.targets[0].w = 0;  // boxes without area, which nothing matches
  }
  const AnchorReport report = check_anchors(index, p5, 4.0, 640, 0);
  EXPECT_FALSE(report.better);
  EXPECT_EQ(report.new_fit->best_possible_recall, 0);
  EXPECT_THAT(report.lines.back(), HasSubstr("the model keeps its own"));
  EXPECT_FALSE(check_anchors(Index{}, p5, 4.0, 640, 0).better);
}

TEST(KmeanAnchors, StandFewOrEqualLabels) {
  const std::vector<LabelSides> one = {{50, 50}};
  const std::vector<LabelSides> equal(100, LabelSides{50, 50});
  for (const std::vector<LabelSides>& sides : {one, equal}) {
    const std::vector<Anchor> anchors = kmean_anchors(sides, 9, 640, 4.0, 0);
    ASSERT_EQ(anchors.size(), 9u);
    EXPECT_GT(anchor_fitness(sides, anchors, 4.0), 0.8);
  }
}

TEST(KmeanAnchors, FindThePlacesWhereLabelsLie) {
  std::vector<LabelSides> sides;
  for (int i = 0; i < 300; ++i) {
    const auto jitter = static_cast<float>(i % 10) * 0.01f;
    sides.push_back({20 + jitter, 20});
    sides.push_back({100 + jitter, 50 + jitter});
    sides.push_back({200, 300 + jitter});
  }
  const std::vector<Anchor> anchors = kmean_anchors(sides, 3, 640, 4.0, 0, /*generations=*/0);
  ASSERT_EQ(anchors.size(), 3u);
  EXPECT_NEAR(anchors[0][0], 20, 0.1);
  EXPECT_NEAR(anchors[1][1], 50, 0.1);
  EXPECT_NEAR(anchors[2][1], 300, 0.1);
  EXPECT_GE(anchor_fitness(sides, kmean_anchors(sides, 3, 640, 4.0, 0), 4.0),
            anchor_fitness(sides, anchors, 4.0));
}

TEST(CheckAnchors, IsQuick) {
  const Index index = index_of(500, 10, 2, 12);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_TRUE(check_anchors(index, p5, 4.0, 640, 0).better);
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
  RecordProperty("seconds", std::to_string(taken.count()));
#if defined(NDEBUG) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  EXPECT_LT(taken.count(), 3.0);  // 5000 labels, 1000 generations
#endif
}

}  // namespace
}  // namespace yolodist::data
