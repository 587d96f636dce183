// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/data/perspective.h"

#include <cmath>
#include <numbers>
#include <vector>

#include <gtest/gtest.h>
#include <opencv2/core.hpp>

namespace yolodist::data {
namespace {

Canvas grey_canvas(int side_px, std::vector<PixelBox> boxes = {}) {
  return {cv::Mat(side_px, side_px, CV_8UC3, cv::Scalar(50, 60, 70)), std::move(boxes), {}};
}

TEST(PerspectiveMatrix, IsTheIdentityWhenNothingIsDrawn) {
  EXPECT_EQ(perspective_matrix({480, 640}, {480, 640}, {}), (Matrix3{1, 0, 0, 0, 1, 0, 0, 0, 1}));
}

TEST(PerspectiveMatrix, TurnsScalesShearsAndMovesAboutTheMiddle) {
  PerspectiveDraws draws;
  draws.angle_degrees = 30;
  draws.scale = 1.5;
  draws.shear_x_degrees = 10;
  draws.shear_y_degrees = -5;
  draws.translate_x = 0.6;
  draws.translate_y = 0.45;
  const Matrix3 m = perspective_matrix({200, 400}, {100, 300}, draws);
  // The middle of the input lands where the translation says.
  EXPECT_NEAR(m[0] * 200 + m[1] * 100 + m[2], 180, 1e-9);
  EXPECT_NEAR(m[3] * 200 + m[4] * 100 + m[5], 45, 1e-9);
  const double c = 1.5 * std::cos(std::numbers::pi / 6), s = 1.5 * std::sin(std::numbers::pi / 6);
  const double shear_x = std::tan(std::numbers::pi / 18), shear_y = std::tan(-std::numbers::pi / 36);
  EXPECT_NEAR(m[0], c - shear_x * s, 1e-12);
  EXPECT_NEAR(m[1], s + shear_x * c, 1e-12);
  EXPECT_NEAR(m[3], shear_y * c - s, 1e-12);
  EXPECT_NEAR(m[4], shear_y * s + c, 1e-12);
}

TEST(RandomPerspective, LeavesPixelsAloneWhenNothingIsDrawn) {
  const Canvas canvas = grey_canvas(64, {{1, 10, 10, 40, 50}});
  const Canvas result = random_perspective(canvas, {}, false, 0);
  EXPECT_EQ(result.image.data, canvas.image.data);
  ASSERT_EQ(result.boxes.size(), 1u);
  EXPECT_EQ(result.boxes[0].x2, 40.0f);
}

TEST(RandomPerspective, FillsWithGreyWhatMovesIn) {
  PerspectiveDraws draws;
  draws.translate_x = 0.75;
  const Canvas result = random_perspective(grey_canvas(64), draws, false, 0);
  EXPECT_EQ(result.image.at<cv::Vec3b>(30, 15), cv::Vec3b(114, 114, 114));
  EXPECT_EQ(result.image.at<cv::Vec3b>(30, 16), cv::Vec3b(50, 60, 70));
}

TEST(RandomPerspective, TakesTheHullOfTurnedCorners) {
  PerspectiveDraws draws;
  draws.angle_degrees = 90;  // counter-clockwise about (50, 50): (x, y) -> (y, 100 - x)
  const Canvas result = random_perspective(grey_canvas(100, {{0, 10, 20, 30, 60}}), draws, false, 0);
  ASSERT_EQ(result.boxes.size(), 1u);
  EXPECT_NEAR(result.boxes[0].x1, 20, 1e-4);
  EXPECT_NEAR(result.boxes[0].y1, 70, 1e-4);
  EXPECT_NEAR(result.boxes[0].x2, 60, 1e-4);
  EXPECT_NEAR(result.boxes[0].y2, 90, 1e-4);
}

TEST(RandomPerspective, DividesByDepthOnlyWithPerspective) {
  PerspectiveDraws draws;
  draws.perspective_x = 0.001;
  const Canvas canvas = grey_canvas(200, {{0, 120, 90, 160, 130}});
  const Canvas flat = random_perspective(canvas, draws, false, 0);
  ASSERT_EQ(flat.boxes.size(), 1u);
  const Canvas deep = random_perspective(canvas, draws, true, 0);
  ASSERT_EQ(deep.boxes.size(), 1u);
  // About the middle: x' = 100 + (x - 100 + 100 * 0.001 * (x - 100)) ... computed by hand for the left edge.
  const Matrix3 m = perspective_matrix({200, 200}, {200, 200}, draws);
  const double depth = m[6] * 120 + m[7] * 90 + m[8];
  EXPECT_NEAR(deep.boxes[0].x1, (m[0] * 120 + m[1] * 90 + m[2]) / depth, 1e-4);
  EXPECT_NEAR(flat.boxes[0].x1, m[0] * 120 + m[1] * 90 + m[2], 1e-4);
  EXPECT_LT(deep.boxes[0].x1, flat.boxes[0].x1);
}

// One box by itself through a warp that moves the picture by so many pixels of 100.
size_t kept(PixelBox box, double move_x_px, double move_y_px = 0, double scale = 1) {
  PerspectiveDraws draws;
  draws.translate_x = 0.5 + move_x_px / 100;
  draws.translate_y = 0.5 + move_y_px / 100;
  draws.scale = scale;
  return random_perspective(grey_canvas(100, {box}), draws, false, 0).boxes.size();
}

TEST(BoxFilter, DropsBoxesOfTwoPixels) {
  EXPECT_EQ(kept({0, 10, 10, 12, 40}, 0), 0u);
  EXPECT_EQ(kept({0, 10, 10, 12.5f, 40}, 0), 1u);
  EXPECT_EQ(kept({0, 10, 10, 40, 12}, 0), 0u);
}

TEST(BoxFilter, DropsBoxesOfWhichATenthIsLeft) {
  EXPECT_EQ(kept({0, 0, 10, 50, 60}, -46), 0u);  // 4 of 50 columns left
  EXPECT_EQ(kept({0, 0, 10, 50, 60}, -44), 1u);  // 6 of 50
}

TEST(BoxFilter, MeasuresWhatIsLeftAgainstTheScaledBox) {
  // Half the size, all inside: an eighth of a pixel count would look like a quarter of the area.
  EXPECT_EQ(kept({0, 30, 30, 70, 70}, 0, 0, 0.3), 1u);
}

TEST(BoxFilter, DropsSlivers) {
  const PixelBox long_box = {0, 0, 10, 400, 13.9f};
  EXPECT_EQ(random_perspective(grey_canvas(400, {long_box}), {}, false, 0).boxes.size(), 0u);  // 102 to 1
  const PixelBox shorter = {0, 0, 10, 380, 13.9f};
  EXPECT_EQ(random_perspective(grey_canvas(400, {shorter}), {}, false, 0).boxes.size(), 1u);  // 97 to 1
}

TEST(Segments, GiveATighterBoxThanTurnedCorners) {
  PerspectiveDraws draws;
  draws.angle_degrees = 45;
  // A diamond in its box: turned by 45 degrees it is a square of side 28.28, its box's corners reach 40.
  Canvas canvas = grey_canvas(100, {{0, 30, 30, 70, 70}});
  const Canvas by_box = random_perspective(canvas, draws, false, 0);
  EXPECT_NEAR(by_box.boxes[0].x2 - by_box.boxes[0].x1, 40 * std::numbers::sqrt2, 1e-3);
  canvas.segments = {{{50, 30}, {70, 50}, {50, 70}, {30, 50}}};
  const Canvas by_segment = random_perspective(canvas, draws, false, 0);
  EXPECT_NEAR(by_segment.boxes[0].x2 - by_segment.boxes[0].x1, 20 * std::numbers::sqrt2, 1e-1);
}

TEST(Segments, AreUsedOnlyWhenThereIsOneABox) {
  PerspectiveDraws draws;
  draws.angle_degrees = 45;
  Canvas canvas = grey_canvas(100, {{0, 30, 30, 70, 70}, {1, 40, 40, 60, 60}});
  canvas.segments = {{{50, 30}, {70, 50}, {50, 70}, {30, 50}}};
  const Canvas result = random_perspective(canvas, draws, false, 0);
  ASSERT_EQ(result.boxes.size(), 2u);
  EXPECT_NEAR(result.boxes[0].x2 - result.boxes[0].x1, 40 * std::numbers::sqrt2, 1e-3);
}

TEST(Segments, OutsideThePictureDropTheirBox) {
  PerspectiveDraws draws;
  draws.translate_x = 1.5;
  Canvas canvas = grey_canvas(100, {{0, 30, 30, 70, 70}});
  canvas.segments = {{{50, 30}, {70, 50}, {50, 70}, {30, 50}}};
  EXPECT_TRUE(random_perspective(canvas, draws, false, 0).boxes.empty());
}

}  // namespace
}  // namespace yolodist::data
