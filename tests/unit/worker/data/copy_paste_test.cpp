// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/data/copy_paste.h"

#include <set>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/worker/data/temporary_folder.h"
#include "worker/data/mosaic.h"
#include "worker/data/pipeline.h"

namespace yolodist::data {
namespace {

Polygon rectangle(float x1, float y1, float x2, float y2) {
  return {{x1, y1}, {x2, y1}, {x2, y2}, {x1, y2}};
}

// 100 x 50 black with a white object at x 10 to 20, y 5 to 25.
Canvas one_object() {
  Canvas canvas;
  canvas.image = cv::Mat::zeros(50, 100, CV_8UC3);
  canvas.image(cv::Rect(10, 5, 11, 21)).setTo(cv::Scalar::all(255));
  canvas.boxes = {{2, 10, 5, 20, 25}};
  canvas.segments = {rectangle(10, 5, 20, 25)};
  return canvas;
}

TEST(CopyPaste, PutsTheObjectWhereAMirrorWould) {
  Canvas canvas = one_object();
  copy_paste(canvas, std::vector<int>{0});
  ASSERT_EQ(canvas.boxes.size(), 2u);
  EXPECT_EQ(canvas.boxes[1].class_index, 2);
  EXPECT_EQ(canvas.boxes[1].x1, 80);
  EXPECT_EQ(canvas.boxes[1].x2, 90);
  EXPECT_EQ(canvas.boxes[1].y1, 5);
  EXPECT_EQ(canvas.segments.at(1)[0].x, 90);
  EXPECT_EQ(canvas.image.at<cv::Vec3b>(10, 85)[0], 255);
  EXPECT_EQ(canvas.image.at<cv::Vec3b>(10, 70)[0], 0);
  EXPECT_EQ(canvas.image.at<cv::Vec3b>(10, 15)[0], 255);  // the original stays
}

TEST(CopyPaste, HidesNoThirdOfAnotherBox) {
  Canvas canvas = one_object();
  canvas.boxes.push_back({0, 80, 5, 87, 25});  // its mirrored place, mostly
  canvas.segments.push_back(rectangle(80, 5, 87, 25));
  copy_paste(canvas, std::vector<int>{0});
  EXPECT_EQ(canvas.boxes.size(), 2u);
  EXPECT_EQ(canvas.image.at<cv::Vec3b>(10, 85)[0], 0);

  Canvas wide = one_object();
  wide.boxes.push_back({0, 40, 5, 83, 25});  // a fourteenth of it would be hidden
  wide.segments.push_back(rectangle(40, 5, 83, 25));
  copy_paste(wide, std::vector<int>{0});
  EXPECT_EQ(wide.boxes.size(), 3u);
}

TEST(CopyPaste, PastedObjectsCountAsBoxes) {
  Canvas canvas = one_object();
  canvas.boxes.push_back(canvas.boxes[0]);
  canvas.segments.push_back(canvas.segments[0]);
  copy_paste(canvas, std::vector<int>{0, 1});
  EXPECT_EQ(canvas.boxes.size(), 3u);
}

TEST(CopyPaste, NeedsASegmentForEachBox) {
  Canvas canvas = one_object();
  canvas.boxes.push_back({0, 40, 30, 45, 40});
  copy_paste(canvas, std::vector<int>{0});
  EXPECT_EQ(canvas.boxes.size(), 2u);
}

TEST(ChosenObjects, AreTheShareWithoutRepeating) {
  for (uint64_t key = 0; key < 50; ++key) {
    const std::vector<int> objects = chosen_objects(key, 9, 0.5);
    EXPECT_EQ(objects.size(), 4u);  // 4.5, half to even
    EXPECT_EQ(std::set<int>(objects.begin(), objects.end()).size(), 4u);
    EXPECT_THAT(objects, testing::Each(testing::AllOf(testing::Ge(0), testing::Lt(9))));
    EXPECT_EQ(objects, chosen_objects(key, 9, 0.5));
  }
  EXPECT_NE(chosen_objects(1, 100, 0.5), chosen_objects(2, 100, 0.5));
  EXPECT_THAT(chosen_objects(3, 7, 1.0), testing::UnorderedElementsAre(0, 1, 2, 3, 4, 5, 6));
  EXPECT_TRUE(chosen_objects(3, 0, 1.0).empty());
}

TEST(Mosaic, PastesByTheHyperparameter) {
  TemporaryFolder folder;
  Index index;
  Picture picture;
  cv::Mat image = cv::Mat::zeros(100, 100, CV_8UC3);
  image(cv::Rect(10, 40, 21, 21)).setTo(cv::Scalar::all(255));
  picture.path = folder.write_picture("a.png", image);
  picture.width_px = picture.height_px = 100;
  picture.targets = {{1, 0.2f, 0.5f, 0.2f, 0.2f}};
  picture.segments = {rectangle(0.1f, 0.4f, 0.3f, 0.6f)};
  index.pictures = {picture};
  Draws draws;
  draws.mosaic = true;
  draws.first.centre_x_px = draws.first.centre_y_px = 100;
  draws.first.warp.scale = 0.5;  // the whole canvas in the output
  config::Hyperparameters hyp;
  hyp.hsv_h = hyp.hsv_s = hyp.hsv_v = 0;
  const Sample without = training_sample(index, 0, draws, hyp, 100, true);
  hyp.copy_paste = 1;
  const Sample with = training_sample(index, 0, draws, hyp, 100, true);
  EXPECT_EQ(without.targets.size(), 4u);
  EXPECT_EQ(with.targets.size(), 8u);
  EXPECT_NE(with.pixels, without.pixels);
  draws.first.copy_paste_key = 99;  // all are taken whatever the key
  EXPECT_EQ(training_sample(index, 0, draws, hyp, 100, true).pixels, with.pixels);
}

}  // namespace
}  // namespace yolodist::data
