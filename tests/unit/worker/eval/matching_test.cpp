// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/eval/matching.h"

#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace yolodist::eval {
namespace {

using testing::ElementsAre;

constexpr uint16_t kAll = 0x3ff;

TEST(IouThresholds, AreThoseOfTorchLinspace) {
  EXPECT_THAT(iou_thresholds(),
              ElementsAre(0x1p-1f, 0x1.19999ap-1f, 0x1.333334p-1f, 0x1.4cccccp-1f, 0x1.666666p-1f, 0x1.8p-1f,
                          0x1.99999ap-1f, 0x1.b33334p-1f, 0x1.ccccccp-1f, 0x1.e66666p-1f));
}

TEST(Match, GivesTheThresholdsThatTheOverlapReaches) {
  // IoU 0.8 but for the 1e-7 in the denominator.
  const std::vector<Detection> detections{{{0, 0, 10, 8}, 0.9f, 3}};
  const std::vector<LabelBox> labels{{{0, 0, 10, 10}, 3}};
  EXPECT_THAT(match(detections, labels), ElementsAre(0x7f));  // 0.50 … 0.80
}

TEST(Match, WantsTheSameClass) {
  EXPECT_THAT(
      match(std::vector<Detection>{{{0, 0, 10, 10}, 0.9f, 1}}, std::vector<LabelBox>{{{0, 0, 10, 10}, 2}}),
      ElementsAre(0));
}

TEST(Match, GivesALabelToTheBestScoredDetectionNotTheBestFitting) {
  const std::vector<Detection> detections{{{0, 0, 10, 9}, 0.9f, 0}, {{0, 0, 10, 10}, 0.8f, 0}};
  const std::vector<LabelBox> labels{{{0, 0, 10, 10}, 0}};
  const auto correct = match(detections, labels);
  EXPECT_EQ(correct[0], 0x1ff);         // to 0.90
  EXPECT_EQ(correct[1], kAll - 0x1ff);  // only where the first does not reach
}

TEST(Match, DoesNotReassignADetectionThatLostItsLabel) {
  // Both overlap label 0 most; the second would also reach label 1 by 0.5.
  const std::vector<Detection> detections{{{0, 0, 10, 10}, 0.9f, 0}, {{0, 0, 10, 10}, 0.8f, 0}};
  const std::vector<LabelBox> labels{{{0, 0, 10, 10}, 0}, {{0, 0, 10, 6}, 0}};
  EXPECT_THAT(match(detections, labels), ElementsAre(kAll, 0));
}

TEST(Match, CountsOneDetectionOnceThoughTwoLabelsFit) {
  const std::vector<Detection> detections{{{0, 0, 10, 10}, 0.9f, 0}};
  const std::vector<LabelBox> labels{{{0, 0, 10, 9}, 0}, {{0, 0, 10, 9}, 0}};
  EXPECT_THAT(match(detections, labels), ElementsAre(0x1ff));
}

TEST(Match, TakesTheLastOfEquallyOverlappedLabels) {
  // Detection 0 overlaps labels 0 and 1 alike and takes 1; detection 1 fits 0 better and so is right as well.
  const std::vector<Detection> detections{{{0, 0, 10, 10}, 0.9f, 0}, {{0, 0, 8, 10}, 0.8f, 0}};
  const std::vector<LabelBox> labels{{{0, 0, 8, 10}, 0}, {{2, 0, 10, 10}, 0}};
  EXPECT_THAT(match(detections, labels), ElementsAre(0x7f, kAll));
}

TEST(Match, HandlesNoLabelsAndNoDetections) {
  EXPECT_TRUE(match({}, std::vector<LabelBox>{{{0, 0, 1, 1}, 0}}).empty());
  EXPECT_THAT(match(std::vector<Detection>{{{0, 0, 1, 1}, 0.5f, 0}}, {}), ElementsAre(0));
}

TEST(ToNative, TakesPaddingAndGainOffAndClips) {
  data::Fitting fitting;
  fitting.native_height_px = 427;
  fitting.native_width_px = 640;
  fitting.gain_h = fitting.gain_w = 0.5;
  fitting.pad_w = 16;
  fitting.pad_h = 10.5;
  const Box box = to_native({26, 30.5, 500, 5}, fitting);
  EXPECT_EQ(box.x1, 20);
  EXPECT_EQ(box.y1, 40);
  EXPECT_EQ(box.x2, 640);
  EXPECT_EQ(box.y2, 0);
}

TEST(NativeLabels, ScalesFractionsOfTheInput) {
  data::Fitting fitting;
  fitting.native_height_px = fitting.native_width_px = 200;
  fitting.gain_h = fitting.gain_w = 2;
  const std::vector<data::Target> targets{{7, 0.5f, 0.25f, 0.5f, 0.25f}};
  const auto labels = native_labels(targets, 400, 400, fitting);
  ASSERT_EQ(labels.size(), 1u);
  EXPECT_EQ(labels[0].class_index, 7);
  EXPECT_EQ(labels[0].box.x1, 50);
  EXPECT_EQ(labels[0].box.y1, 25);
  EXPECT_EQ(labels[0].box.x2, 150);
  EXPECT_EQ(labels[0].box.y2, 75);
}

}  // namespace
}  // namespace yolodist::eval
