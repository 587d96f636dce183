// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
// Letterbox, rect shapes, and boxes between fractions and pixels.
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <opencv2/core.hpp>

#include "worker/data/boxes.h"
#include "worker/data/decode.h"
#include "worker/data/letterbox.h"
#include "worker/data/rect_shapes.h"

namespace yolodist::data {
namespace {

using testing::ElementsAre;

// Golden values: reference sheet of YOLOv5 v7.0, recomputed by hand.
TEST(Letterbox, PadsTheOddPixelBelow) {
  const LetterboxGeometry g = letterbox_geometry(427, 640, {640, 640}, true);
  EXPECT_EQ(g.gain, 1.0);
  EXPECT_EQ(g.width_px, 640);
  EXPECT_EQ(g.height_px, 427);
  EXPECT_EQ(g.pad_w, 0.0);
  EXPECT_EQ(g.pad_h, 106.5);
  EXPECT_EQ(g.top_px, 106);
  EXPECT_EQ(g.bottom_px, 107);
  EXPECT_EQ(g.left_px, 0);
  EXPECT_EQ(g.right_px, 0);
}

TEST(Letterbox, DoesNotEnlargeWhereToldNotTo) {
  const LetterboxGeometry g = letterbox_geometry(333, 500, {512, 672}, false);
  EXPECT_EQ(g.gain, 1.0);
  EXPECT_EQ(g.top_px, 89);
  EXPECT_EQ(g.bottom_px, 90);
  EXPECT_EQ(g.left_px, 86);
  EXPECT_EQ(g.right_px, 86);
  EXPECT_DOUBLE_EQ(letterbox_geometry(333, 500, {512, 672}, true).gain, 1.344);
}

TEST(Letterbox, RoundsHalfToEven) {
  // 25 x 0.5 = 12.5 -> 12.
  EXPECT_EQ(letterbox_geometry(100, 25, {50, 50}, true).width_px, 12);
  EXPECT_EQ(letterbox_geometry(100, 27, {50, 50}, true).width_px, 14);
}

// Recomputed by hand from letterbox with auto=True, stride 32.
TEST(Letterbox, PadsToWholeStridesOnlyWhereAsked) {
  const LetterboxGeometry g = least_letterbox(427, 640, 640, 32);
  EXPECT_EQ(g.height_px, 427);
  EXPECT_EQ(g.pad_h, 10.5) << "213 pixels are missing, 21 after whole strides";
  EXPECT_EQ(g.top_px, 10);
  EXPECT_EQ(g.bottom_px, 11);
  EXPECT_EQ(target_of(g), (Shape{448, 640}));
  EXPECT_EQ(target_of(least_letterbox(100, 50, 640, 32)), (Shape{640, 320})) << "small pictures grow";
  EXPECT_EQ(target_of(least_letterbox(1080, 1920, 640, 64)), (Shape{384, 640}));
  EXPECT_EQ(target_of(least_letterbox(1, 5000, 640, 32)).height_px % 32, 0);
}

TEST(Letterbox, FillsTheShapeWithGreyAroundThePicture) {
  const cv::Mat picture(4, 10, CV_8UC3, cv::Scalar(1, 2, 3));
  const Shape target{9, 10};
  const cv::Mat padded = letterbox(picture, target, letterbox_geometry(4, 10, target, true));
  ASSERT_EQ(padded.rows, 9);
  ASSERT_EQ(padded.cols, 10);
  EXPECT_EQ(padded.at<cv::Vec3b>(1, 0), cv::Vec3b(114, 114, 114));
  EXPECT_EQ(padded.at<cv::Vec3b>(2, 0), cv::Vec3b(1, 2, 3));
  EXPECT_EQ(padded.at<cv::Vec3b>(5, 9), cv::Vec3b(1, 2, 3));
  EXPECT_EQ(padded.at<cv::Vec3b>(6, 9), cv::Vec3b(114, 114, 114));
}

TEST(Letterbox, TakesASliver) {
  const cv::Mat picture(4000, 1, CV_8UC3, cv::Scalar(1, 2, 3));
  const Shape target{64, 64};
  const cv::Mat padded = letterbox(picture, target, letterbox_geometry(4000, 1, target, true));
  EXPECT_EQ(padded.size(), cv::Size(64, 64));
}

TEST(RectShape, MatchesGoldenShapes) {
  EXPECT_EQ(rect_shape(.6, .75, 640, 32, .5), (Shape{512, 672}));
  EXPECT_EQ(rect_shape(1.2, 1.5, 640, 32, .5), (Shape{672, 576}));
  EXPECT_EQ(rect_shape(.9, 1.1, 640, 32, .5), (Shape{672, 672}));
  EXPECT_EQ(rect_shape(.6, .75, 1280, 64, .5), (Shape{1024, 1344}));
  EXPECT_EQ(rect_shape(.9, 1.1, 1280, 64, .5), (Shape{1344, 1344}));
}

TEST(RectBatches, SortsByRatioAndShapesEachBatch) {
  const std::vector<Shape> native = {{100, 100}, {150, 100}, {60, 100}, {75, 100}, {60, 100}};
  const RectBatches batches = rect_batches(native, 2, 640, 32, .5);
  EXPECT_THAT(batches.order, ElementsAre(2, 4, 3, 0, 1));
  ASSERT_EQ(batches.shapes.size(), 3u);
  EXPECT_EQ(batches.shapes[0], rect_shape(.6, .6, 640, 32, .5));
  EXPECT_EQ(batches.shapes[1], (Shape{672, 672}));
  EXPECT_EQ(batches.shapes[2], rect_shape(1.5, 1.5, 640, 32, .5));
}

TEST(ResizedToSide, RoundsSidesUp) {
  const cv::Mat picture(333, 500, CV_8UC3, cv::Scalar(9, 9, 9));
  EXPECT_EQ(resized_to_side(picture, 640, true).size(), cv::Size(640, 427));  // 426.24
  EXPECT_EQ(resized_to_side(picture, 500, true).data, picture.data);
}

TEST(ResizedToSide, ShrinksByAreaUnlessAugmenting) {
  cv::Mat stripes(40, 40, CV_8UC3);
  for (int x = 0; x < 40; ++x) {
    stripes.col(x).setTo(x % 4 == 0 ? cv::Scalar::all(255) : cv::Scalar::all(0));
  }
  const cv::Mat by_area = resized_to_side(stripes, 10, false);
  EXPECT_EQ(by_area.at<cv::Vec3b>(5, 5)[0], 64);  // the mean of 255 0 0 0
  const cv::Mat bilinear = resized_to_side(stripes, 10, true);
  EXPECT_EQ(bilinear.at<cv::Vec3b>(5, 5)[0], 0);  // only the two middle columns count
}

TEST(Boxes, GoToPixelsAndBack) {
  const std::vector<Target> targets = {{2, 0.5f, 0.5f, 0.5f, 0.25f}};
  const std::vector<PixelBox> boxes = to_pixels(targets, 100, 200, 10, 20);
  ASSERT_EQ(boxes.size(), 1u);
  EXPECT_EQ(boxes[0].x1, 35.0f);
  EXPECT_EQ(boxes[0].y1, 95.0f);
  EXPECT_EQ(boxes[0].x2, 85.0f);
  EXPECT_EQ(boxes[0].y2, 145.0f);
  const std::vector<Target> back = to_fractions(boxes, 200, 400);
  EXPECT_EQ(back[0].class_index, 2);
  EXPECT_FLOAT_EQ(back[0].x, 0.3f);
  EXPECT_FLOAT_EQ(back[0].y, 0.3f);
  EXPECT_FLOAT_EQ(back[0].w, 0.25f);
  EXPECT_FLOAT_EQ(back[0].h, 0.125f);
}

TEST(Boxes, AreClippedAThousandthInside) {
  const std::vector<Target> clipped = to_fractions({{0, -50, 0, 150, 100}}, 100, 100);
  const float right = 99.999f;
  EXPECT_EQ(clipped[0].w, right / 100);
  EXPECT_EQ(clipped[0].x, right / 2 / 100);
}

}  // namespace
}  // namespace yolodist::data
