// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/pictures/chart.h"

#include <cmath>
#include <set>
#include <tuple>

#include <gtest/gtest.h>
#include <opencv2/imgcodecs.hpp>

#include "common/base/error.h"
#include "tests/support/temporary_folder.h"

namespace yolodist::pictures {
namespace {

cv::Vec3b at(const cv::Mat& canvas, int x, int y) {
  return canvas.at<cv::Vec3b>(y, x);
}

bool is_white(const cv::Vec3b& pixel) {
  return pixel == cv::Vec3b(255, 255, 255);
}

cv::Rect inked(const cv::Mat& canvas) {
  std::vector<cv::Point> points;
  for (int y = 0; y < canvas.rows; ++y) {
    for (int x = 0; x < canvas.cols; ++x) {
      if (!is_white(at(canvas, x, y))) {
        points.emplace_back(x, y);
      }
    }
  }
  cv::Rect all;
  for (const cv::Point& point : points) {
    all = all.empty() ? cv::Rect(point, cv::Size(1, 1)) : all | cv::Rect(point, cv::Size(1, 1));
  }
  return all;
}

TEST(Ticks, AreRoundNumbersInTheRange) {
  EXPECT_EQ(tick_places({0, 1}, 5, false).size(), 6u);
  EXPECT_EQ(tick_places({0, 1}, 10, false).size(), 11u);
  EXPECT_EQ(tick_places({-0.3, 2.9}, 4, true), (std::vector<double>{0, 1, 2}));
  EXPECT_EQ(tick_places({0, 0.4}, 8, true), (std::vector<double>{0}));
  EXPECT_EQ(tick_places({1, 0}, 2, false), (std::vector<double>{0, 0.5, 1}));
  for (const double high : {1e-7, 0.037, 1.0, 299.0, 8.6e5, 3e9}) {
    const size_t count = tick_places({0, high}, 6, false).size();
    EXPECT_GE(count, 3u) << high;
    EXPECT_LE(count, 7u) << high;
  }
}

TEST(Ticks, HaveTheDecimalsOfTheirStep) {
  EXPECT_EQ(tick_text(0.2, 0.2), "0.2");
  EXPECT_EQ(tick_text(1, 0.25), "1.0");
  EXPECT_EQ(tick_text(0.015, 0.005), "0.015");
  EXPECT_EQ(tick_text(20, 10), "20");
  EXPECT_EQ(tick_text(-1e-18, 0.1), "0.0");
  EXPECT_EQ(tick_text(2e-7, 1e-7), "2e-07");
  EXPECT_EQ(tick_text(2000000, 1000000), "2e+06");
}

TEST(RangeOf, LeavesRoomAndIgnoresWhatIsNotFinite) {
  const Range range = range_of(std::vector<double>{2, NAN, 4, INFINITY});
  EXPECT_NEAR(range.low, 1.9, 1e-12);
  EXPECT_NEAR(range.high, 4.1, 1e-12);
  for (const auto& values : {std::vector<double>{}, {NAN}, {0.0}, {5, 5}, {-3}}) {
    const Range some = range_of(values);
    EXPECT_LT(some.low, some.high);
  }
}

TEST(Curve, PassesThroughItsPointsAndHasGaps) {
  cv::Mat canvas = blank(200, 200);
  Chart chart;
  chart.plot = {50, 50, 100, 100};
  const std::vector<double> xs = {0, 0.5, 0.6, 0.7, 1};
  const std::vector<double> ys = {0, 0.5, NAN, 0.5, 0.5};
  draw_curve(canvas, chart, xs, ys, Colour(0, 0, 255), 2);
  EXPECT_FALSE(is_white(at(canvas, 75, 125)));
  EXPECT_FALSE(is_white(at(canvas, 135, 100)));
  EXPECT_TRUE(is_white(at(canvas, 110, 100)));
}

TEST(Curve, IsCutOffAtThePlot) {
  cv::Mat canvas = blank(200, 200);
  Chart chart;
  chart.plot = {50, 50, 100, 100};
  draw_curve(canvas, chart, std::vector<double>{-5, 5}, std::vector<double>{-1e30, 1e30}, ink(), 4);
  draw_points(canvas, chart, std::vector<double>{0, 1}, std::vector<double>{0, 1}, ink(), 9);
  const cv::Rect area = inked(canvas);
  EXPECT_EQ(area | chart.plot, cv::Rect(50, 50, 101, 101));
}

TEST(Text, LiesWhereItIsAsked) {
  cv::Mat canvas = blank(300, 100);
  draw_text(canvas, "HHH", {150, 50}, {10, ink(), false}, Align::left);
  const cv::Rect left = inked(canvas);
  EXPECT_NEAR(left.x, 150, 2);
  EXPECT_NEAR(left.height, 11, 2);
  EXPECT_NEAR(left.y + left.height / 2, 50, 1);
  canvas = blank(300, 100);
  draw_text(canvas, "HHH", {150, 50}, {10, ink(), false}, Align::right);
  const cv::Rect right = inked(canvas);
  EXPECT_NEAR(right.br().x, 150, 2);
  EXPECT_EQ(right.width, left.width);
}

TEST(Text, CanBeTurned) {
  cv::Mat canvas = blank(100, 300);
  draw_text_upwards(canvas, "HHH", {50, 150}, {10, ink(), false}, Align::right);
  const cv::Rect area = inked(canvas);
  EXPECT_NEAR(area.y, 150, 2);
  EXPECT_GT(area.height, 2 * area.width);
  EXPECT_NEAR(area.x + area.width / 2, 50, 1);
}

TEST(Text, OutsideTheCanvasIsCutOff) {
  cv::Mat canvas = blank(40, 20);
  draw_text(canvas, "a long text that does not fit", {-30, 0});
  draw_text_upwards(canvas, "another one of these texts", {39, 300});
  draw_text(canvas, "", {10, 10});
  EXPECT_EQ(canvas.size(), cv::Size(40, 20));
}

TEST(Text, IsShortenedToItsRoom) {
  const TextStyle style;
  EXPECT_EQ(shortened("cat", 500, style), "cat");
  const std::string shown = shortened(std::string(60, 'w'), 100, style);
  EXPECT_LE(text_size(shown, style).width, 100);
  EXPECT_GT(text_size(shown, style).width, 80);
  EXPECT_EQ(shown.substr(shown.size() - 2), "..");
  EXPECT_EQ(shortened("cat", 1, style), "");
}

TEST(Names, AreReducedToWhatCanBeDrawn) {
  const std::vector<std::string> names = {"cat", "caf\xc3\xa9 ol\xc3\xa9", "\xe7\x8c\xab", "", "a\tb"};
  EXPECT_EQ(class_name(names, 0), "cat");
  EXPECT_EQ(class_name(names, 1), "caf? ol?");
  EXPECT_EQ(class_name(names, 2), "class 2");
  EXPECT_EQ(class_name(names, 3), "class 3");
  EXPECT_EQ(class_name(names, 4), "a?b");
  EXPECT_EQ(class_name(names, 5), "class 5");
  EXPECT_EQ(ascii_text("\xe7\x8c\xab.jpg"), "?.jpg");
}

TEST(Palette, HasTwentyDifferentColours) {
  std::set<std::tuple<double, double, double>> colours;
  for (int i = 0; i < 60; ++i) {
    const Colour colour = palette_colour(i);
    colours.insert({colour[0], colour[1], colour[2]});
  }
  EXPECT_EQ(colours.size(), static_cast<size_t>(kPaletteSize));
}

TEST(WritePicture, ReportsWhatCannotBeDrawnAndThrowsWhatCannotBeStored) {
  const test::TemporaryFolder folder;
  EXPECT_NO_THROW(write_picture(folder / "a.png", [] { return cv::Mat(); }));
  EXPECT_NO_THROW(write_picture(folder / "a.png", []() -> cv::Mat { throw DataError("bad"); }));
  EXPECT_NO_THROW(write_picture(folder / "a.unknown", [] { return blank(2, 2); }));
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  EXPECT_THROW(write_picture(folder / "no/a.png", [] { return blank(2, 2); }), StorageError);
  write_picture(folder / "a.png", [] { return blank(7, 3); });
  EXPECT_EQ(cv::imread((folder / "a.png").string()).size(), cv::Size(7, 3));
}

}  // namespace
}  // namespace yolodist::pictures
