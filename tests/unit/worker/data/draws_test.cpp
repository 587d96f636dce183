// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/data/draws.h"

#include <algorithm>
#include <set>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace yolodist::data {
namespace {

config::Hyperparameters strong() {
  config::Hyperparameters hyp;
  hyp.degrees = 10;
  hyp.shear = 2;
  hyp.perspective = 0.001;
  hyp.mixup = 0.5;
  hyp.flipud = 0.5;
  return hyp;
}

// Some values of each part, enough to tell two draws apart.
std::vector<double> fingerprint(const Draws& d) {
  return {double(d.mosaic),
          double(d.mixup),
          d.hue_gain,
          d.first.warp.scale,
          d.second.warp.angle_degrees,
          double(d.mixup_picture),
          double(d.first.centre_x_px),
          d.mixup_ratio};
}

TEST(DrawSample, DependsOnItsArgumentsOnlyNotOnTheOrderOfCalls) {
  std::vector<std::vector<double>> forward, backward;
  for (int position = 0; position < 20; ++position) {
    forward.push_back(fingerprint(draw_sample(strong(), 50, 640, 7, 3, position)));
  }
  for (int position = 19; position >= 0; --position) {
    backward.push_back(fingerprint(draw_sample(strong(), 50, 640, 7, 3, position)));
  }
  std::reverse(backward.begin(), backward.end());
  EXPECT_EQ(forward, backward);
  EXPECT_EQ(std::set(forward.begin(), forward.end()).size(), 20u);
}

TEST(DrawSample, ChangesWithSeedAndEpoch) {
  const std::vector<double> base = fingerprint(draw_sample(strong(), 50, 640, 7, 3, 5));
  EXPECT_NE(base, fingerprint(draw_sample(strong(), 50, 640, 8, 3, 5)));
  EXPECT_NE(base, fingerprint(draw_sample(strong(), 50, 640, 7, 4, 5)));
}

TEST(DrawSample, StaysInItsRanges) {
  const config::Hyperparameters hyp = strong();
  int mosaics = 0, mixups = 0, flips = 0;
  for (int position = 0; position < 2000; ++position) {
    const Draws d = draw_sample(hyp, 7, 640, 0, 0, position);
    mosaics += d.mosaic, mixups += d.mixup, flips += d.flip_left_right;
    for (const MosaicDraws& mosaic : {d.first, d.second}) {
      EXPECT_GE(mosaic.centre_x_px, 320);
      EXPECT_LT(mosaic.centre_x_px, 960);
      EXPECT_GE(mosaic.centre_y_px, 320);
      EXPECT_LT(mosaic.centre_y_px, 960);
      for (const int partner : mosaic.partners) {
        EXPECT_GE(partner, 0);
        EXPECT_LT(partner, 7);
      }
      EXPECT_THAT(mosaic.order, testing::UnorderedElementsAre(0, 1, 2, 3));
      EXPECT_LE(std::abs(mosaic.warp.angle_degrees), 10.0);
      EXPECT_LE(std::abs(mosaic.warp.perspective_y), 0.001);
      EXPECT_GE(mosaic.warp.scale, 0.5);
      EXPECT_LE(mosaic.warp.scale, 1.5);
      EXPECT_GE(mosaic.warp.translate_x, 0.4);
      EXPECT_LE(mosaic.warp.translate_x, 0.6);
    }
    EXPECT_LE(std::abs(d.saturation_gain - 1), 0.7);
    EXPECT_GT(d.mixup_ratio, 0.1);
    EXPECT_LT(d.mixup_ratio, 0.9);
  }
  EXPECT_EQ(mosaics, 2000);        // hyp.mosaic is 1
  EXPECT_NEAR(mixups, 1000, 120);  // more than five deviations
  EXPECT_NEAR(flips, 1000, 120);
}

TEST(DrawSample, TurningOneAugmentationOnChangesNoOther) {
  config::Hyperparameters without = strong(), with = strong();
  without.mixup = 0;
  without.fliplr = 0;
  with.mixup = 1;
  with.fliplr = 1;
  const Draws a = draw_sample(without, 50, 640, 1, 2, 3), b = draw_sample(with, 50, 640, 1, 2, 3);
  EXPECT_FALSE(a.mixup);
  EXPECT_TRUE(b.mixup);
  EXPECT_EQ(a.first.warp.scale, b.first.warp.scale);
  EXPECT_EQ(a.hue_gain, b.hue_gain);
  EXPECT_EQ(a.second.centre_y_px, b.second.centre_y_px);
}

// Runs that are resumed go on with the samples that they began with: what is drawn anew comes after all else.
TEST(DrawSample, ASeedKeepsItsSamples) {
  const Draws d = draw_sample(config::Hyperparameters{}, 50, 640, 7, 3, 5);
  EXPECT_EQ(d.hue_gain, 1.0130397578094246);
  EXPECT_EQ(d.first.centre_x_px, 526);
  EXPECT_EQ(d.second.partners[2], 26);
  EXPECT_EQ(d.second.warp.translate_y, 0.49460283323168308);
  EXPECT_NEAR(d.mixup_ratio, 0.46940966988998151, 1e-12);  // through log and exp of the C library
  EXPECT_EQ(d.first.copy_paste_key, 6753007095874506232u);
  EXPECT_EQ(d.second.copy_paste_key, 1388563654040742596u);
}

TEST(DrawSample, NothingIsRandomWithoutAugmentation) {
  config::Hyperparameters none;
  none.hsv_h = none.hsv_s = none.hsv_v = 0;
  none.translate = none.scale = 0;
  none.mosaic = none.fliplr = 0;
  const Draws d = draw_sample(none, 5, 640, 1, 2, 3);
  EXPECT_FALSE(d.mosaic || d.mixup || d.flip_left_right || d.flip_up_down);
  EXPECT_EQ(d.first.warp.scale, 1.0);
  EXPECT_EQ(d.first.warp.translate_x, 0.5);
  EXPECT_EQ(d.hue_gain, 1.0);
}

}  // namespace
}  // namespace yolodist::data
