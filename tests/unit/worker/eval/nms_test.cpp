// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/eval/nms.h"

#include <chrono>
#include <limits>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/error.h"
#include "common/base/philox.h"

namespace yolodist::eval {
namespace {

using testing::ElementsAre;

// A row of two classes.
void add_row(std::vector<float>& rows, float x, float y, float w, float h, float objectness, float p0,
             float p1) {
  rows.insert(rows.end(), {x, y, w, h, objectness, p0, p1});
}

std::vector<float> scores_of(const std::vector<Detection>& detections) {
  std::vector<float> scores;
  for (const Detection& detection : detections) {
    scores.push_back(detection.score);
  }
  return scores;
}

TEST(Suppress, ReturnsNothingWithoutCandidates) {
  std::vector<float> rows;
  EXPECT_TRUE(suppress(rows, 2, {}).empty());
  add_row(rows, 10, 10, 4, 4, 0.001f, 1, 1);  // not above the threshold
  add_row(rows, 10, 10, 4, 4, std::numeric_limits<float>::quiet_NaN(), 1, 1);
  add_row(rows, 10, 10, 4, 4, 1, std::numeric_limits<float>::quiet_NaN(), 0);
  EXPECT_TRUE(suppress(rows, 2, {}).empty());
}

TEST(Suppress, TakesTheWantedClassesOnlyBeforeAnythingIsDropped) {
  std::vector<float> rows;
  add_row(rows, 50, 40, 20, 10, 1, 0.9f, 0);
  add_row(rows, 50, 40, 20, 10, 1, 0, 0.5f);
  NmsOptions options;
  options.multi_label = false;
  options.agnostic = true;
  EXPECT_THAT(scores_of(suppress(rows, 2, options)), ElementsAre(0.9f));
  options.classes = {1};
  EXPECT_THAT(scores_of(suppress(rows, 2, options)), ElementsAre(0.5f)) << "class 0 no longer suppresses it";
}

TEST(Suppress, GivesCornersAndScoreOfObjectnessTimesClass) {
  std::vector<float> rows;
  add_row(rows, 50, 40, 20, 10, 0.5f, 0.25f, 0.0f);
  const auto detections = suppress(rows, 2, {});
  ASSERT_EQ(detections.size(), 1u);
  EXPECT_EQ(detections[0].box.x1, 40);
  EXPECT_EQ(detections[0].box.y1, 35);
  EXPECT_EQ(detections[0].box.x2, 60);
  EXPECT_EQ(detections[0].box.y2, 45);
  EXPECT_EQ(detections[0].score, 0.125f);
  EXPECT_EQ(detections[0].class_index, 0);
}

TEST(Suppress, DropsTheWorseOfTwoThatOverlapByMoreThanTheThreshold) {
  std::vector<float> rows;
  add_row(rows, 50, 50, 20, 20, 0.5f, 1, 0);
  add_row(rows, 51, 50, 20, 20, 0.9f, 1, 0);  // IoU 19/21
  add_row(rows, 60, 50, 20, 20, 0.4f, 1, 0);  // IoU with the second 11/29
  EXPECT_THAT(scores_of(suppress(rows, 2, {})), ElementsAre(0.9f, 0.4f));
  NmsOptions strict;
  strict.iou = 0.3;
  EXPECT_THAT(scores_of(suppress(rows, 2, strict)), ElementsAre(0.9f));
}

TEST(Suppress, KeepsABoxThatOverlapsByExactlyTheThreshold) {
  std::vector<float> rows;
  add_row(rows, 50, 50, 20, 20, 0.9f, 1, 0);
  add_row(rows, 50, 45, 20, 10, 0.8f, 1, 0);  // half of the first
  NmsOptions options;
  options.iou = 0.5;
  EXPECT_EQ(suppress(rows, 2, options).size(), 2u);
}

TEST(Suppress, KeepsClassesApartUnlessAgnostic) {
  std::vector<float> rows;
  add_row(rows, 50, 50, 20, 20, 1, 0.9f, 0.8f);
  const auto apart = suppress(rows, 2, {});
  ASSERT_EQ(apart.size(), 2u);
  EXPECT_EQ(apart[1].class_index, 1);
  NmsOptions agnostic;
  agnostic.agnostic = true;
  EXPECT_THAT(scores_of(suppress(rows, 2, agnostic)), ElementsAre(0.9f));
}

TEST(Suppress, TakesOnlyTheBestClassWithoutMultiLabel) {
  std::vector<float> rows;
  add_row(rows, 50, 50, 20, 20, 1, 0.7f, 0.8f);
  NmsOptions options;
  options.multi_label = false;
  const auto detections = suppress(rows, 2, options);
  ASSERT_EQ(detections.size(), 1u);
  EXPECT_EQ(detections[0].class_index, 1);
}

TEST(Suppress, LetsBoxesLargerThanTheClassOffsetMeetOtherClasses) {
  // Class 0 of width 30000 px lies over class 1 moved by 7680: IoU (30000 - 7680)^2-ish over the union is
  // above 0.3.
  std::vector<float> rows;
  add_row(rows, 15000, 15000, 30000, 30000, 0.9f, 1, 0);
  add_row(rows, 15000, 15000, 30000, 30000, 0.8f, 0, 1);
  NmsOptions options;
  options.iou = 0.3;
  EXPECT_THAT(scores_of(suppress(rows, 2, options)), ElementsAre(0.9f));
}

TEST(Suppress, KeepsTheOrderOfRowsForEqualScores) {
  std::vector<float> rows;
  for (int i = 0; i < 50; ++i) {
    add_row(rows, 100.0f * static_cast<float>(i), 50, 20, 20, 0.5f, 1, 0);
  }
  const auto detections = suppress(rows, 2, {});
  ASSERT_EQ(detections.size(), 50u);
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(detections[static_cast<size_t>(i)].box.x1, 100.0f * static_cast<float>(i) - 10);
  }
}

TEST(Suppress, CutsCandidatesAndDetections) {
  std::vector<float> rows;
  for (int i = 0; i < 50; ++i) {
    add_row(rows, 100.0f * static_cast<float>(i), 50, 20, 20, 0.1f + 0.01f * static_cast<float>(i), 1, 0);
  }
  NmsOptions options;
  options.max_detections = 3;
  const auto few = suppress(rows, 2, options);
  ASSERT_EQ(few.size(), 3u);
  EXPECT_EQ(few[0].box.x1, 4890);
  options.max_candidates = 2;
  EXPECT_EQ(suppress(rows, 2, options).size(), 2u);
}

TEST(Suppress, RefusesHalfARow) {
  const std::vector<float> rows(10);
  EXPECT_THROW(suppress(rows, 2, {}), InternalError);
}

TEST(Suppress, IsFastOnAnUntrainedNetworkAt1280) {
  // Every box a candidate of several classes, as in the first epochs.
  Draws64 draws(1, RandomStream::augment, 0);
  std::vector<float> rows;
  for (int i = 0; i < 40000; ++i) {
    add_row(rows, static_cast<float>(draws.uniform(0, 1280)), static_cast<float>(draws.uniform(0, 1280)),
            static_cast<float>(draws.uniform(5, 100)), static_cast<float>(draws.uniform(5, 100)),
            static_cast<float>(draws.uniform()), static_cast<float>(draws.uniform()),
            static_cast<float>(draws.uniform()));
  }
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(suppress(rows, 2, {}).size(), 300u);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(2));
}

}  // namespace
}  // namespace yolodist::eval
