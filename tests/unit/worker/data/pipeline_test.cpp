// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/data/pipeline.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include "tests/unit/worker/data/temporary_folder.h"
#include "worker/data/hsv.h"

namespace yolodist::data {
namespace {

// One picture 64 x 32 (w x h), left half blue 200, right half red 100, a box over the left half.
struct OnePicture {
  TemporaryFolder folder;
  Index index;

  OnePicture() {
    cv::Mat image(32, 64, CV_8UC3, cv::Scalar(200, 0, 0));
    image.colRange(32, 64).setTo(cv::Scalar(0, 0, 100));
    Picture picture;
    picture.path = folder.write_picture("a.png", image);
    picture.width_px = 64;
    picture.height_px = 32;
    picture.targets = {{3, 0.25f, 0.5f, 0.5f, 1.0f}};
    index.pictures = {picture};
  }
};

uint8_t pixel(const Sample& sample, int channel, int y, int x) {
  return sample.pixels.at(static_cast<size_t>((channel * sample.height_px + y) * sample.width_px + x));
}

config::Hyperparameters plain() {
  config::Hyperparameters hyp;
  hyp.hsv_h = hyp.hsv_s = hyp.hsv_v = 0;
  return hyp;
}

TEST(TrainingSample, WithoutAugmentationIsALetterboxOfPlanarRgb) {
  const OnePicture set;
  Draws draws;
  draws.flip_left_right = true;  // not looked at
  draws.mosaic = true;
  const Sample sample = training_sample(set.index, 0, draws, config::Hyperparameters{}, 64, false);
  ASSERT_EQ(sample.height_px, 64);
  ASSERT_EQ(sample.width_px, 64);
  ASSERT_EQ(sample.pixels.size(), size_t{3} * 64 * 64);
  EXPECT_EQ(pixel(sample, 2, 32, 5), 200);
  EXPECT_EQ(pixel(sample, 0, 32, 60), 100);
  EXPECT_EQ(pixel(sample, 0, 32, 5), 0);
  EXPECT_EQ(pixel(sample, 1, 15, 5), 114);
  EXPECT_EQ(pixel(sample, 1, 16, 5), 0);
  ASSERT_EQ(sample.targets.size(), 1u);
  EXPECT_EQ(sample.targets[0].class_index, 3);
  EXPECT_FLOAT_EQ(sample.targets[0].x, 0.25f);
  EXPECT_FLOAT_EQ(sample.targets[0].y, 0.5f);
  EXPECT_FLOAT_EQ(sample.targets[0].h, 0.5f);
}

TEST(TrainingSample, GrowsSmallPictures) {
  const OnePicture set;
  const Sample sample = training_sample(set.index, 0, {}, plain(), 128, false);
  EXPECT_EQ(pixel(sample, 2, 33, 10), 200);
  EXPECT_EQ(pixel(sample, 2, 31, 10), 114);
}

TEST(TrainingSample, FlipsPixelsAndBoxes) {
  const OnePicture set;
  Draws draws;
  draws.flip_left_right = true;
  draws.flip_up_down = true;
  const Sample sample = training_sample(set.index, 0, draws, plain(), 64, true);
  EXPECT_EQ(pixel(sample, 0, 32, 5), 100);
  EXPECT_EQ(pixel(sample, 2, 32, 60), 200);
  EXPECT_FLOAT_EQ(sample.targets.at(0).x, 0.75f);
  EXPECT_FLOAT_EQ(sample.targets.at(0).y, 0.5f);
}

TEST(TrainingSample, TakesTheShapeOfARectBatch) {
  const OnePicture set;
  Draws draws;
  draws.mosaic = true;  // there is none with rect
  SampleContext context;
  context.rect = Shape{32, 64};
  const Sample sample = training_sample(set.index, 0, draws, plain(), 64, true, context);
  EXPECT_EQ(sample.height_px, 32);
  EXPECT_EQ(sample.width_px, 64);
  EXPECT_EQ(pixel(sample, 2, 0, 0), 200);
}

TEST(TrainingSample, WithMosaicAndMixupHasTheBoxesOfBoth) {
  const OnePicture set;
  Draws draws;
  draws.mosaic = draws.mixup = true;
  draws.first.centre_x_px = draws.first.centre_y_px = 64;
  draws.second = draws.first;
  draws.mixup_ratio = 0.25;
  const Sample one = [&] {
    Draws single = draws;
    single.mixup = false;
    return training_sample(set.index, 0, single, plain(), 64, true);
  }();
  const Sample both = training_sample(set.index, 0, draws, plain(), 64, true);
  EXPECT_FALSE(one.targets.empty());
  EXPECT_EQ(both.targets.size(), 2 * one.targets.size());
  EXPECT_EQ(both.pixels, one.pixels);  // mixed with itself
}

TEST(TrainingSample, IsGreyWithoutLabelsWhenThePictureIsGone) {
  OnePicture set;
  set.index.pictures[0].path = set.folder.write("a.jpg", "not a picture any more");
  int named = 0;
  DecodeFailures failures([&](const Picture&, const std::string&) { ++named; });
  SampleContext context;
  context.failures = &failures;
  const Sample sample = training_sample(set.index, 0, {}, plain(), 64, true, context);
  EXPECT_EQ(sample.picture_index, 0);
  EXPECT_TRUE(sample.targets.empty());
  EXPECT_EQ(sample.pixels, std::vector<uint8_t>(size_t{3} * 64 * 64, 114));
  const Sample again = validation_sample(set.index, 0, 64, 64, 64, &failures);
  EXPECT_TRUE(again.targets.empty());
  EXPECT_EQ(named, 1);
}

TEST(ValidationSample, LeadsBackToThePicture) {
  const OnePicture set;
  const Sample sample = validation_sample(set.index, 0, 96, 160, 128);
  EXPECT_EQ(sample.height_px, 96);
  EXPECT_EQ(sample.width_px, 160);
  EXPECT_EQ(sample.fitting.native_height_px, 32);
  EXPECT_EQ(sample.fitting.native_width_px, 64);
  EXPECT_EQ(sample.fitting.gain_h, 2.0);
  EXPECT_EQ(sample.fitting.gain_w, 2.0);
  EXPECT_EQ(sample.fitting.pad_w, 16.0);
  EXPECT_EQ(sample.fitting.pad_h, 16.0);
  const Target& target = sample.targets.at(0);
  const double left_px = (target.x - target.w / 2) * 160, right_px = (target.x + target.w / 2) * 160;
  EXPECT_NEAR((left_px - sample.fitting.pad_w) / sample.fitting.gain_w, 0, 1e-4);
  EXPECT_NEAR((right_px - sample.fitting.pad_w) / sample.fitting.gain_w, 32, 1e-4);
}

TEST(ChangeHsv, MultipliesByTablesInHsv) {
  // Pure red has hue 0, saturation and value 255.
  cv::Mat red(1, 1, CV_8UC3, cv::Scalar(0, 0, 255));
  change_hsv(red, 1.0, 1.0, 0.5);
  EXPECT_EQ(red.at<cv::Vec3b>(0, 0), cv::Vec3b(0, 0, 127));
  // Green is hue 60 of 180; times 2 it is blue.
  cv::Mat green(1, 1, CV_8UC3, cv::Scalar(0, 255, 0));
  change_hsv(green, 2.0, 1.0, 1.0);
  EXPECT_EQ(green.at<cv::Vec3b>(0, 0), cv::Vec3b(255, 0, 0));
  // Past a turn it begins again: 120 * 1.75 = 210, which is 30, yellow.
  cv::Mat blue(1, 1, CV_8UC3, cv::Scalar(255, 0, 0));
  change_hsv(blue, 1.75, 1.0, 1.0);
  EXPECT_EQ(blue.at<cv::Vec3b>(0, 0), cv::Vec3b(0, 255, 255));
  // Saturation stops at 255.
  cv::Mat pale(1, 1, CV_8UC3, cv::Scalar(100, 100, 200));
  change_hsv(pale, 1.0, 3.0, 1.0);
  EXPECT_EQ(pale.at<cv::Vec3b>(0, 0), cv::Vec3b(0, 0, 200));
}

}  // namespace
}  // namespace yolodist::data
