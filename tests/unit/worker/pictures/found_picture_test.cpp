// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/pictures/found_picture.h"

#include <gtest/gtest.h>
#include <opencv2/imgcodecs.hpp>

#include "tests/support/temporary_folder.h"
#include "worker/pictures/canvas.h"

namespace yolodist::pictures {
namespace {

const cv::Vec3b kBlank(10, 100, 250);
const std::vector<std::string> kNames = {"cat", "a/b"};

class FoundPicture : public ::testing::Test {
 protected:
  FoundPicture() { cv::imwrite(from().string(), cv::Mat(200, 300, CV_8UC3, cv::Scalar(10, 100, 250))); }
  std::filesystem::path from() const { return folder_ / "from.png"; }
  // PNG, so that pixels come back exactly.
  cv::Mat drawn(const std::vector<eval::Detection>& detections, const BoxStyle& style) const {
    draw_found(folder_ / "to.png", from(), detections, kNames, style);
    return cv::imread((folder_ / "to.png").string());
  }
  static cv::Vec3b at(const cv::Mat& picture, int x, int y) { return picture.at<cv::Vec3b>(y, x); }
  static cv::Vec3b colour_of(int class_index) {
    const Colour colour = palette_colour(class_index);
    return {cv::saturate_cast<uchar>(colour[0]), cv::saturate_cast<uchar>(colour[1]),
            cv::saturate_cast<uchar>(colour[2])};
  }
  test::TemporaryFolder folder_;
};

TEST_F(FoundPicture, HasBoxesAndNamesOnThePictureAsItIs) {
  const cv::Mat picture = drawn({{{100, 80, 200, 160}, 0.9F, 0}}, {});
  ASSERT_EQ(picture.size(), cv::Size(300, 200));
  EXPECT_EQ(at(picture, 100, 120), colour_of(0));
  EXPECT_EQ(at(picture, 150, 160), colour_of(0));
  EXPECT_EQ(at(picture, 150, 120), kBlank) << "inside";
  EXPECT_EQ(at(picture, 101, 75), colour_of(0)) << "under the name, above the box";
}

TEST_F(FoundPicture, HidesNamesAndSurvivesBoxesAtTheEdge) {
  const cv::Mat bare = drawn({{{100, 80, 200, 160}, 0.9F, 0}}, {3, false, true});
  EXPECT_EQ(at(bare, 101, 70), kBlank);
  const cv::Mat edge = drawn({{{0, 0, 300, 200}, 0.9F, 1}, {{299, 199, 300, 200}, 0.5F, 0}}, {});
  EXPECT_EQ(at(edge, 0, 100), colour_of(1));
}

TEST_F(FoundPicture, CutsBoxesOutWithAMargin) {
  const std::vector<eval::Detection> found = {
      {{100, 80, 200, 160}, 0.9F, 0}, {{0, 0, 50, 50}, 0.8F, 0}, {{100, 80, 200, 160}, 0.7F, 1}};
  cut_out(folder_ / "crops", "p", from(), found, kNames);
  const auto size = [&](const char* name) { return cv::imread((folder_ / "crops" / name).string()).size(); };
  EXPECT_EQ(size("cat/p2.jpg"), cv::Size(112, 91)) << "102 + 10, 81.6 + 10; the most confident comes last";
  EXPECT_EQ(size("cat/p.jpg"), cv::Size(55, 55)) << "cut off at the picture's edge";
  EXPECT_EQ(size("a_b/p.jpg"), cv::Size(112, 91)) << "a name with a slash is one folder";
}

TEST_F(FoundPicture, IsWrittenAsAKindThatCanBe) {
  EXPECT_EQ(writable_name("a.PNG"), "a.PNG");
  EXPECT_EQ(writable_name("a.b.mpo"), "a.b.jpg");
  EXPECT_EQ(writable_name("a.pfm"), "a.jpg");
}

TEST_F(FoundPicture, IsNotDrawnWhenThePictureIsGone) {
  std::filesystem::remove(from());
  EXPECT_NO_THROW(draw_found(folder_ / "to.png", from(), {}, kNames, {}));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "to.png"));
}

}  // namespace
}  // namespace yolodist::pictures
