// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/eval/image_statistics.h"

#include <vector>

#include <gtest/gtest.h>

#include "common/base/error.h"

namespace yolodist::eval {
namespace {

ImageStatistics picture(int64_t position) {
  ImageStatistics image;
  image.position = position;
  image.scores = {0.9f, 0.1f + static_cast<float>(position)};
  image.classes = {1, 79};
  image.correct = {0x3ff, 0x001};
  image.target_classes = {1, 2, 3};
  return image;
}

TEST(ImageStatistics, ReadBackFromBytesAsTheyWere) {
  const std::vector<ImageStatistics> images{picture(4), ImageStatistics{}, picture(6)};
  EXPECT_EQ(from_bytes(to_bytes(images)), images);
  EXPECT_TRUE(from_bytes(to_bytes({})).empty());
}

TEST(ImageStatistics, RefuseBytesCutAnywhereOrTooLong) {
  const std::string bytes = to_bytes(std::vector<ImageStatistics>{picture(1)});
  for (size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_THROW(from_bytes(std::string_view(bytes).substr(0, length)), InternalError) << length;
  }
  EXPECT_THROW(from_bytes(bytes + "x"), InternalError);
  EXPECT_THROW(from_bytes("x" + bytes), InternalError);
}

TEST(ImageStatistics, RefuseAListLengthThatWouldOverflow) {
  std::string bytes = to_bytes(std::vector<ImageStatistics>{picture(1)});
  bytes.replace(24, 8, 8, '\xff');  // the length of the scores
  EXPECT_THROW(from_bytes(bytes), InternalError);
}

TEST(Merged, DoesNotDependOnWhoValidatedWhat) {
  const std::vector<ImageStatistics> all{picture(0), picture(1), picture(2), picture(3)};
  const std::vector<std::string> one{to_bytes(all)};
  const std::vector<std::string> two{
      to_bytes(std::vector<ImageStatistics>{picture(1), picture(3)}),
      to_bytes(std::vector<ImageStatistics>{picture(0), picture(2), picture(3)})};
  EXPECT_EQ(merged(one), all);
  EXPECT_EQ(merged(two), all);
}

TEST(StatisticsOf, MatchesThePicture) {
  const std::vector<Detection> detections{{{0, 0, 10, 10}, 0.9f, 2}, {{20, 20, 30, 30}, 0.5f, 2}};
  const std::vector<LabelBox> labels{{{0, 0, 10, 10}, 2}, {{0, 0, 5, 5}, 4}};
  const ImageStatistics image = statistics_of(11, detections, labels);
  EXPECT_EQ(image.position, 11);
  EXPECT_EQ(image.scores, (std::vector<float>{0.9f, 0.5f}));
  EXPECT_EQ(image.classes, (std::vector<int32_t>{2, 2}));
  EXPECT_EQ(image.correct, (std::vector<uint16_t>{0x3ff, 0}));
  EXPECT_EQ(image.target_classes, (std::vector<int32_t>{2, 4}));
}

}  // namespace
}  // namespace yolodist::eval
