// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/eval/summary.h"

#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "worker/eval/average_precision.h"

namespace yolodist::eval {
namespace {

using testing::ElementsAre;

constexpr uint16_t kAll = 0x3ff;

ImageStatistics picture(std::vector<float> scores, std::vector<int32_t> classes,
                        std::vector<uint16_t> correct, std::vector<int32_t> targets) {
  ImageStatistics image;
  image.scores = std::move(scores);
  image.classes = std::move(classes);
  image.correct = std::move(correct);
  image.target_classes = std::move(targets);
  return image;
}

TEST(AveragePrecision, IsNearlyOneForAPerfectDetector) {
  const std::vector<ImageStatistics> images{picture({0.9f, 0.8f}, {0, 1}, {kAll, kAll}, {0, 1})};
  const Metrics metrics = summarize(images);
  EXPECT_DOUBLE_EQ(metrics.precision, 1);
  EXPECT_DOUBLE_EQ(metrics.recall, 1);
  // The last of the 101 recall points has precision 0 where the curve is closed: 1 - 0.01 / 2.
  EXPECT_NEAR(metrics.map50, 0.995, 1e-12);
  EXPECT_NEAR(metrics.map, 0.995, 1e-12);
  EXPECT_NEAR(metrics.fitness(), 0.995, 1e-12);
  EXPECT_EQ(metrics.labels, 2);
  EXPECT_EQ(metrics.images, 1);
}

TEST(AveragePrecision, IsZeroWithoutDetectionsLabelsOrTruePositives) {
  for (const std::vector<ImageStatistics>& images : {std::vector<ImageStatistics>{},
                                                     {picture({}, {}, {}, {0, 1})},
                                                     {picture({0.9f}, {0}, {0}, {})},
                                                     {picture({0.9f}, {0}, {0}, {0})}}) {
    const Metrics metrics = summarize(images);
    EXPECT_EQ(metrics.precision, 0);
    EXPECT_EQ(metrics.recall, 0);
    EXPECT_EQ(metrics.map50, 0);
    EXPECT_EQ(metrics.map, 0);
    EXPECT_EQ(metrics.fitness(), 0);
  }
}

TEST(AveragePrecision, CountsLabelledClassesOnly) {
  // Class 5 is only predicted and costs nothing; class 2 is only labelled and counts as 0.
  const std::vector<ImageStatistics> images{picture({0.9f, 0.8f, 0.7f}, {1, 5, 5}, {kAll, 0, 0}, {1, 2})};
  const Metrics metrics = summarize(images);
  ASSERT_EQ(metrics.detail.classes.size(), 2u);
  EXPECT_EQ(metrics.detail.classes[0].class_index, 1);
  EXPECT_EQ(metrics.detail.classes[1].class_index, 2);
  EXPECT_NEAR(metrics.map50, 0.995 / 2, 1e-12);
  EXPECT_EQ(metrics.detail.classes[1].ap50(), 0);
  EXPECT_EQ(metrics.detail.classes[1].true_positives, 0);
}

TEST(AveragePrecision, TakesEachThresholdByItself) {
  // Right up to IoU 0.70: five of ten thresholds.
  const std::vector<ImageStatistics> images{picture({0.9f}, {0}, {0x1f}, {0})};
  const Metrics metrics = summarize(images);
  EXPECT_NEAR(metrics.map50, 0.995, 1e-12);
  EXPECT_NEAR(metrics.map, 0.995 / 2, 1e-12);
}

TEST(AveragePrecision, HoldsTheHandComputedCase) {
  // Hit, miss, hit over two labels: recall .5 .5 1, precision 1 .5 2/3; the falling envelope is 1 to recall
  // .5 (where the last of the equal points counts: 2/3), then 2/3. Integral on the grid of 0.01: 49 cells of
  // 1, one cell from 1 to 2/3, 49 cells of 2/3 and one from 2/3 to 0.
  const std::vector<ImageStatistics> images{picture({0.9f, 0.8f, 0.7f}, {0, 0, 0}, {kAll, 0, kAll}, {0, 0})};
  const Metrics metrics = summarize(images);
  const double expected = 0.01 * (49 + (1 + 2.0 / 3) / 2 + 49 * 2.0 / 3 + (2.0 / 3) / 2);
  EXPECT_NEAR(metrics.map50, expected, 1e-12);
  EXPECT_EQ(metrics.detail.classes[0].true_positives, 2);
  EXPECT_EQ(metrics.detail.classes[0].false_positives, 1);
}

TEST(AveragePrecision, SortsOverAllPicturesAndKeepsTheirOrderForEqualScores) {
  const std::vector<ImageStatistics> hit_first{picture({0.5f}, {0}, {kAll}, {0}),
                                               picture({0.5f}, {0}, {0}, {})};
  const std::vector<ImageStatistics> miss_first{picture({0.5f}, {0}, {0}, {}),
                                                picture({0.5f}, {0}, {kAll}, {0})};
  EXPECT_NEAR(summarize(hit_first).map50, 0.995, 1e-12);
  EXPECT_NEAR(summarize(miss_first).map50, 0.4975, 1e-12);
}

TEST(AveragePrecision, ReturnsCurvesForPlots) {
  const std::vector<ImageStatistics> images{picture({0.5f}, {0}, {kAll}, {0, 0})};
  const AveragePrecision result = average_precision(images);
  ASSERT_EQ(result.curves.size(), 1u);
  const ClassCurves& curves = result.curves[0];
  ASSERT_EQ(curves.recall.size(), static_cast<size_t>(kConfidenceCount));
  EXPECT_EQ(confidences().front(), 0);
  EXPECT_EQ(confidences().back(), 1);
  EXPECT_DOUBLE_EQ(curves.recall[0], 0.5);  // everything counts at confidence 0
  EXPECT_DOUBLE_EQ(curves.recall[900], 0);  // nothing at 0.9
  EXPECT_DOUBLE_EQ(curves.precision[900], 1);
  EXPECT_DOUBLE_EQ(curves.precision_at_recall[0], 1);
  EXPECT_DOUBLE_EQ(curves.f1[0], 2.0 / 3);
}

TEST(MapPerClass, UsesTheMeanForClassesWithoutLabels) {
  const std::vector<ImageStatistics> images{picture({0.9f}, {1}, {kAll}, {1, 2})};
  const std::vector<double> maps = map_per_class(summarize(images), 4);
  ASSERT_EQ(maps.size(), 4u);
  EXPECT_NEAR(maps[0], 0.4975, 1e-12);
  EXPECT_NEAR(maps[1], 0.995, 1e-12);
  EXPECT_EQ(maps[2], 0);
  EXPECT_NEAR(maps[3], 0.4975, 1e-12);
}

TEST(Table, HasTheColumnsOfThePeer) {
  EXPECT_EQ(table_header(),
            "                 Class     Images  Instances          P          R      mAP50   mAP50-95");
  EXPECT_EQ(table_row("all", 128, 929, 0.66732, 0.6, 0.00012345, 1),
            "                   all        128        929      0.667        0.6   0.000123          1");
}

TEST(Table, ListsClassesOnlyWhenAskedAndSeveral) {
  const Metrics metrics = summarize(std::vector<ImageStatistics>{picture({0.9f}, {1}, {kAll}, {1})});
  const std::vector<std::string> names{"cat", "dog"};
  EXPECT_EQ(table(metrics, names, false).size(), 2u);
  EXPECT_THAT(
      table(metrics, names, true),
      ElementsAre(
          table_header(), table_row("all", 1, 1, 1, 1, 0.995, 0.995),
          "                   dog          1          1          1          1      0.995      0.995"));
  const Metrics single = summarize(std::vector<ImageStatistics>{picture({0.9f}, {0}, {kAll}, {0})});
  EXPECT_EQ(table(single, {"item"}, true).size(), 2u);
}

}  // namespace
}  // namespace yolodist::eval
