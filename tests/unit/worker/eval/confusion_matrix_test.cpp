// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/eval/confusion_matrix.h"

#include <numeric>

#include <gtest/gtest.h>

#include "common/base/error.h"

namespace yolodist::eval {
namespace {

const Box kSquare{0, 0, 100, 100};
const Box kFar{500, 500, 600, 600};

int64_t total(const ConfusionMatrix& matrix) {
  return std::accumulate(matrix.counts.begin(), matrix.counts.end(), int64_t{0});
}

ConfusionMatrix matrix_of(int classes, const std::vector<Detection>& detections,
                          const std::vector<LabelBox>& labels) {
  ConfusionMatrix matrix(classes);
  add(matrix, detections, labels);
  return matrix;
}

TEST(ConfusionMatrix, RowsArePredictedColumnsTrue) {
  const ConfusionMatrix matrix = matrix_of(3, {{kSquare, 0.9f, 2}}, {{kSquare, 1}});
  EXPECT_EQ(matrix.counts.size(), 16u);
  EXPECT_EQ(matrix.at(2, 1), 1);
  EXPECT_EQ(matrix.counts[2 * 4 + 1], 1);
  EXPECT_EQ(total(matrix), 1);
}

TEST(ConfusionMatrix, WhatMeetsNothingIsBackground) {
  const ConfusionMatrix matrix =
      matrix_of(2, {{kSquare, 0.9f, 0}, {kFar, 0.8f, 1}}, {{kSquare, 0}, {{200, 200, 300, 300}, 1}});
  EXPECT_EQ(matrix.at(0, 0), 1);
  EXPECT_EQ(matrix.at(1, matrix.background()), 1);
  EXPECT_EQ(matrix.at(matrix.background(), 1), 1);
  EXPECT_EQ(total(matrix), 3);
}

TEST(ConfusionMatrix, WithoutAnyMeetingDetectionsDoNotCount) {
  const ConfusionMatrix matrix = matrix_of(2, {{kFar, 0.9f, 1}}, {{kSquare, 0}});
  EXPECT_EQ(matrix.at(matrix.background(), 0), 1);
  EXPECT_EQ(total(matrix), 1);
  EXPECT_EQ(total(matrix_of(2, {{kFar, 0.9f, 1}}, {})), 0);
  EXPECT_EQ(total(matrix_of(2, {}, {})), 0);
  EXPECT_EQ(matrix_of(2, {}, {{kFar, 1}}).at(2, 1), 1);
}

TEST(ConfusionMatrix, ThresholdsAreStrict) {
  EXPECT_EQ(matrix_of(1, {{kSquare, 0.25f, 0}}, {{kSquare, 0}}).at(0, 0), 0);
  EXPECT_EQ(matrix_of(1, {{kSquare, 0.2501f, 0}}, {{kSquare, 0}}).at(0, 0), 1);
  EXPECT_EQ(matrix_of(1, {{{0, 0, 100, 45}, 0.9f, 0}}, {{kSquare, 0}}).at(0, 0), 0);
  EXPECT_EQ(matrix_of(1, {{{0, 0, 100, 45.1f}, 0.9f, 0}}, {{kSquare, 0}}).at(0, 0), 1);
}

TEST(ConfusionMatrix, ALabelTakesTheDetectionThatOverlapsItMost) {
  // The surer detection overlaps less: the other has the label, and the first is background.
  const ConfusionMatrix matrix =
      matrix_of(2, {{{0, 0, 100, 80}, 0.9f, 0}, {{0, 0, 100, 95}, 0.4f, 1}}, {{kSquare, 0}});
  EXPECT_EQ(matrix.at(1, 0), 1);
  EXPECT_EQ(matrix.at(0, 2), 1);
  EXPECT_EQ(total(matrix), 2);
}

TEST(ConfusionMatrix, ADetectionThatLosesItsLabelGetsNoOther) {
  // Both prefer the first label; the second label, which the loser overlaps too, stays empty.
  const ConfusionMatrix matrix = matrix_of(1, {{kSquare, 0.9f, 0}, {{0, 0, 100, 90}, 0.8f, 0}},
                                           {{{0, 0, 100, 95}, 0}, {{0, 0, 100, 60}, 0}});
  EXPECT_EQ(matrix.at(0, 0), 1);
  EXPECT_EQ(matrix.at(1, 0), 1);
  EXPECT_EQ(matrix.at(0, 1), 1);
}

TEST(ConfusionMatrix, OfEqualOverlapsTheLastCounts) {
  // Two labels of one place, two detections of one place.
  const ConfusionMatrix labels = matrix_of(2, {{kSquare, 0.9f, 0}}, {{kSquare, 0}, {kSquare, 1}});
  EXPECT_EQ(labels.at(0, 1), 1);
  EXPECT_EQ(labels.at(2, 0), 1);
  const ConfusionMatrix detections = matrix_of(2, {{kSquare, 0.9f, 0}, {kSquare, 0.8f, 1}}, {{kSquare, 0}});
  EXPECT_EQ(detections.at(1, 0), 1);
  EXPECT_EQ(detections.at(0, 2), 1);
}

TEST(ConfusionMatrix, AddsUpOverPictures) {
  ConfusionMatrix matrix(1);
  for (int picture = 0; picture < 3; ++picture) {
    add(matrix, std::vector<Detection>{{kSquare, 0.9f, 0}}, std::vector<LabelBox>{{kSquare, 0}});
  }
  EXPECT_EQ(matrix.at(0, 0), 3);
}

TEST(ConfusionMatrix, RefusesClassesOutOfRange) {
  EXPECT_THROW(matrix_of(1, {}, {{kSquare, 1}}), InternalError);
  EXPECT_THROW(matrix_of(1, {{kSquare, 0.9f, 3}}, {{kSquare, 0}}), InternalError);
  EXPECT_THROW(matrix_of(1, {}, {{kSquare, -1}}), InternalError);
}

}  // namespace
}  // namespace yolodist::eval
