// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <opencv2/imgcodecs.hpp>

#include "tests/support/temporary_folder.h"
#include "worker/pictures/canvas.h"
#include "worker/pictures/pictures.h"

namespace yolodist::pictures {
namespace {

// One colour everywhere; planar RGB.
data::Sample sample_of(int width_px, int height_px, uint8_t red, uint8_t green, uint8_t blue) {
  data::Sample sample;
  sample.width_px = width_px;
  sample.height_px = height_px;
  const auto plane = static_cast<size_t>(width_px) * static_cast<size_t>(height_px);
  for (const uint8_t value : {red, green, blue}) {
    sample.pixels.insert(sample.pixels.end(), plane, value);
  }
  return sample;
}

data::Index index_of(const std::string& name) {
  data::Index index;
  index.pictures.push_back({"folder/" + name, {}, 640, 480, {}, {}});
  return index;
}

const std::vector<std::string> kNames = {"cat", "dog", std::string(60, 'x')};

class BatchPicture : public ::testing::Test {
 protected:
  // PNG, so that pixels come back exactly.
  std::filesystem::path file() const { return folder_ / "batch.png"; }
  cv::Mat read() const { return cv::imread(file().string()); }
  cv::Vec3b pixel(const cv::Mat& picture, int x, int y) const { return picture.at<cv::Vec3b>(y, x); }
  static cv::Vec3b colour_of(int class_index) {
    const Colour colour = palette_colour(class_index);
    return {cv::saturate_cast<uchar>(colour[0]), cv::saturate_cast<uchar>(colour[1]),
            cv::saturate_cast<uchar>(colour[2])};
  }
  test::TemporaryFolder folder_;
};

TEST_F(BatchPicture, KeepsThePixels) {
  const std::vector<data::Sample> samples = {sample_of(640, 480, 250, 100, 10)};
  draw_targets(file(), samples, index_of("a.jpg"), kNames);
  const cv::Mat picture = read();
  ASSERT_EQ(picture.size(), cv::Size(640, 480));
  EXPECT_EQ(pixel(picture, 320, 240), cv::Vec3b(10, 100, 250));
  EXPECT_NE(pixel(picture, 1, 1), cv::Vec3b(10, 100, 250)) << "the file's name lies there";
}

TEST_F(BatchPicture, DrawsTargetsAtTheirPlace) {
  std::vector<data::Sample> samples = {sample_of(640, 480, 0, 0, 0)};
  samples[0].targets = {{1, 0.5f, 0.5f, 0.25f, 0.5f}};  // x 240 … 400, y 120 … 360
  draw_targets(file(), samples, index_of("a.jpg"), kNames);
  const cv::Mat picture = read();
  EXPECT_EQ(pixel(picture, 240, 300), colour_of(1));
  EXPECT_EQ(pixel(picture, 400, 300), colour_of(1));
  EXPECT_EQ(pixel(picture, 380, 120), colour_of(1));
  EXPECT_EQ(pixel(picture, 380, 360), colour_of(1));
  EXPECT_EQ(pixel(picture, 320, 240), cv::Vec3b(0, 0, 0));
  EXPECT_EQ(pixel(picture, 230, 300), cv::Vec3b(0, 0, 0));
  EXPECT_EQ(pixel(picture, 241, 110), colour_of(1)) << "the label's background above the box";
}

TEST_F(BatchPicture, DrawsDetectionsAboveTheirConfidence) {
  const std::vector<data::Sample> samples = {sample_of(640, 480, 0, 0, 0)};
  const std::vector<std::vector<eval::Detection>> found = {
      {{{100, 200, 200, 300}, 0.9f, 0}, {{300, 200, 400, 300}, 0.25f, 1}, {{500, 200, 600, 300}, 0.26f, 2}}};
  draw_detections(file(), samples, found, index_of("a.jpg"), kNames);
  const cv::Mat picture = read();
  EXPECT_EQ(pixel(picture, 100, 250), colour_of(0));
  EXPECT_EQ(pixel(picture, 300, 250), cv::Vec3b(0, 0, 0));
  EXPECT_EQ(pixel(picture, 500, 250), colour_of(2));
}

TEST_F(BatchPicture, ScalesBoxesWithTheTile) {
  std::vector<data::Sample> samples;
  for (int i = 0; i < 4; ++i) {
    samples.push_back(sample_of(1280, 1280, 0, 0, 0));
  }
  samples[3].targets = {{0, 0.5f, 0.5f, 0.5f, 0.5f}};
  draw_targets(file(), samples, index_of("a.jpg"), kNames);
  const cv::Mat picture = read();
  ASSERT_EQ(picture.size(), cv::Size(1920, 1920));
  // Tiles of 958 with a gap of 4: the fourth begins at 962; the box at a quarter of it.
  EXPECT_EQ(pixel(picture, 962 + 240, 962 + 479), colour_of(0));
  EXPECT_EQ(pixel(picture, 962 + 479, 962 + 718), colour_of(0));
  EXPECT_EQ(pixel(picture, 240, 479), cv::Vec3b(0, 0, 0));
  EXPECT_EQ(pixel(picture, 960, 100), cv::Vec3b(255, 255, 255)) << "gap";
}

TEST_F(BatchPicture, ShowsSixteenPicturesAtMost) {
  for (const auto& [side, count] : {std::pair{1280, 40}, {640, 16}, {64, 17}, {320, 1}}) {
    const std::vector<data::Sample> samples(static_cast<size_t>(count), sample_of(side, side / 2, 9, 9, 9));
    draw_targets(file(), samples, index_of("a.jpg"), kNames);
    const cv::Mat picture = read();
    ASSERT_FALSE(picture.empty());
    EXPECT_LE(picture.cols, kBatchSide_px);
    EXPECT_LE(picture.rows, kBatchSide_px);
    EXPECT_GE(picture.cols, 320);
  }
}

TEST_F(BatchPicture, EnlargesSmallPictures) {
  std::vector<data::Sample> samples = {sample_of(64, 64, 0, 0, 0)};
  samples[0].targets = {{0, 0.5f, 0.5f, 0.5f, 0.5f}};
  draw_targets(file(), samples, index_of("a.jpg"), kNames);
  const cv::Mat picture = read();
  ASSERT_EQ(picture.size(), cv::Size(320, 320));
  EXPECT_EQ(pixel(picture, 80, 200), colour_of(0));
}

TEST_F(BatchPicture, TakesPicturesOfDifferentSizes) {
  const std::vector<data::Sample> samples = {sample_of(640, 320, 0, 0, 0),
                                             sample_of(320, 640, 255, 255, 255)};
  draw_targets(file(), samples, index_of("a.jpg"), kNames);
  EXPECT_EQ(read().size(), cv::Size(1284, 640));
}

TEST_F(BatchPicture, TakesOddContent) {
  std::vector<data::Sample> samples = {sample_of(640, 480, 0, 0, 0), sample_of(640, 480, 0, 0, 0)};
  samples[0].picture_index = 99;  // not in the index
  samples[0].targets = {
      {2, 0.0f, 0.0f, 3.0f, 3.0f}, {7, 0.99f, 0.99f, 0.0f, 0.0f}, {2, 0.5f, 0.01f, 0.9f, 0.01f}};
  samples[1].pixels.clear();
  draw_targets(file(), samples, index_of(std::string(300, 'n') + "\xc3\xa9.jpg"), kNames);
  EXPECT_EQ(read().size(), cv::Size(1284, 480));
  EXPECT_EQ(pixel(read(), 644 + 320, 240), cv::Vec3b(114, 114, 114));
}

TEST_F(BatchPicture, TakesNothing) {
  draw_targets(file(), {}, {}, {});
  EXPECT_FALSE(read().empty());
  draw_detections(file(), {}, {}, {}, {});
  EXPECT_FALSE(read().empty());
  const std::vector<data::Sample> samples = {sample_of(640, 480, 0, 0, 0)};
  draw_detections(file(), samples, {}, {}, {});
  EXPECT_EQ(read().size(), cv::Size(640, 480));
}

TEST_F(BatchPicture, WritesJpeg) {
  const std::vector<data::Sample> samples = {sample_of(640, 480, 200, 30, 30)};
  draw_targets(folder_ / "train_batch0.jpg", samples, index_of("a.jpg"), kNames);
  const cv::Mat picture = cv::imread((folder_ / "train_batch0.jpg").string());
  ASSERT_EQ(picture.size(), cv::Size(640, 480));
  EXPECT_NEAR(pixel(picture, 320, 240)[2], 200, 3);
}

}  // namespace
}  // namespace yolodist::pictures
