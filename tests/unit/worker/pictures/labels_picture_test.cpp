// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <opencv2/imgcodecs.hpp>

#include "tests/support/temporary_folder.h"
#include "worker/pictures/canvas.h"
#include "worker/pictures/pictures.h"

namespace yolodist::pictures {
namespace {

data::Index index_of(std::vector<data::Target> targets) {
  data::Index index;
  index.pictures.push_back({"a.jpg", {}, 640, 480, std::move(targets), {}});
  return index;
}

cv::Mat drawn(const data::Index& index, const std::vector<std::string>& names) {
  const test::TemporaryFolder folder;
  draw_labels(folder / "labels.png", index, names);
  return cv::imread((folder / "labels.png").string());
}

int pixels_like(const cv::Mat& picture, const Colour& colour) {
  cv::Mat mask;
  cv::inRange(picture, colour, colour, mask);
  return cv::countNonZero(mask);
}

TEST(LabelsPicture, BarsAreAsLongAsTheCounts) {
  const data::Index index = index_of({{0, 0.5f, 0.5f, 0.1f, 0.1f},
                                      {0, 0.5f, 0.5f, 0.1f, 0.1f},
                                      {0, 0.5f, 0.5f, 0.1f, 0.1f},
                                      {0, 0.5f, 0.5f, 0.1f, 0.1f},
                                      {1, 0.5f, 0.5f, 0.1f, 0.1f}});
  const cv::Mat picture = drawn(index, {"cat", "dog"});
  ASSERT_EQ(picture.size(), cv::Size(1800, 1800));
  const double ratio =
      static_cast<double>(pixels_like(picture, palette_colour(0))) / pixels_like(picture, palette_colour(1));
  EXPECT_NEAR(ratio, 4, 0.1);
}

TEST(LabelsPicture, PlotsShowWhereBoxesAre) {
  // One box in the upper left quarter.
  const cv::Mat picture = drawn(index_of({{0, 0.27f, 0.27f, 0.5f, 0.25f}}), {"cat"});
  const cv::Vec3b white(255, 255, 255);
  // The plot of centres: 740 pixels from (100, 970).
  EXPECT_NE(picture.at<cv::Vec3b>(970 + 200, 100 + 200), white);
  EXPECT_EQ(picture.at<cv::Vec3b>(970 + 550, 100 + 200), white);
  EXPECT_EQ(picture.at<cv::Vec3b>(970 + 200, 100 + 550), white);
  // The overlay: from (1000, 70), centre 370; 1.05 times the largest side is the whole plot.
  const int half_width = static_cast<int>(370 / 1.05);
  EXPECT_NE(picture.at<cv::Vec3b>(70 + 370, 1000 + 370 - half_width), white);
  EXPECT_NE(picture.at<cv::Vec3b>(70 + 370 - half_width / 2, 1000 + 370), white);
  EXPECT_EQ(picture.at<cv::Vec3b>(70 + 370, 1000 + 370), white);
}

TEST(LabelsPicture, TakesAnyNumberOfClassesAndNames) {
  for (const size_t count : {size_t{1}, size_t{80}, size_t{81}, size_t{1203}}) {
    std::vector<std::string> names(count, std::string(60, 'W'));
    std::vector<data::Target> targets;
    for (size_t c = 0; c < count; ++c) {
      targets.push_back({static_cast<int>(c), 1.0f, 0.0f, 1.0f, 1.0f});
    }
    EXPECT_EQ(drawn(index_of(targets), names).size(), cv::Size(1800, 1800)) << count;
  }
}

TEST(LabelsPicture, TakesNothing) {
  EXPECT_FALSE(drawn({}, {}).empty());
  EXPECT_FALSE(drawn(index_of({}), {"cat"}).empty());
  EXPECT_FALSE(drawn(index_of({{5, 0.5f, 0.5f, 0.0f, 0.0f}}), {"cat"}).empty()) << "a class without a name";
}

}  // namespace
}  // namespace yolodist::pictures
