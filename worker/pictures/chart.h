// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <vector>

#include <opencv2/core.hpp>

#include "worker/pictures/canvas.h"

// Axes, curves and legends.
namespace yolodist::pictures {

// From the left or lower end of an axis to the other; low > high runs backwards.
struct Range {
  double low = 0, high = 1;
};

struct Axis {
  Range range;
  std::string title;
  bool is_whole = false;  // only whole numbers as ticks
};

// A pair of axes around the pixels of `plot`, which leaves room for ticks and titles: 70 px on the left, 55
// below, 35 above.
struct Chart {
  cv::Rect plot;
  std::string title;
  Axis x, y;
  double capital_px = 9;  // of the tick labels
};

// The range of the finite values with a little room on both sides; 0 … 1 without any.
Range range_of(std::span<const double> values);

// Multiples of 1, 2 or 5 times a power of ten within the range, at most so many.
std::vector<double> tick_places(const Range& range, int most, bool is_whole);
// With as many decimals as ticks of this step need.
std::string tick_text(double value, double step);

// In pixels of the canvas, not rounded.
cv::Point2d place_of(const Chart& chart, double x, double y);

// Grid, frame, ticks, titles.
void draw_frame(cv::Mat& canvas, const Chart& chart);
// Ticks and titles only, for a plot that is filled already.
void draw_axes(cv::Mat& canvas, const Chart& chart);

// The points (xs[i], ys[i]) joined; a gap where one is not finite. Cut off at the plot's edge.
void draw_curve(cv::Mat& canvas, const Chart& chart, std::span<const double> xs, std::span<const double> ys,
                const Colour& colour, int thickness_px);
void draw_points(cv::Mat& canvas, const Chart& chart, std::span<const double> xs, std::span<const double> ys,
                 const Colour& colour, int radius_px);
// A dashed line through the plot's whole height.
void draw_vertical(cv::Mat& canvas, const Chart& chart, double x, const Colour& colour);
// A note in the middle of the plot: why there is nothing in it.
void draw_note(cv::Mat& canvas, const cv::Rect& plot, const std::string& text);

struct LegendEntry {
  std::string name;
  std::string value;  // right-aligned after the name; may be empty
  Colour colour;
  int thickness_px = 2;
  bool is_bold = false;
};
// One entry a line; long names are shortened to what fits beside the widest value.
void draw_legend(cv::Mat& canvas, cv::Point top_left, int width_px, const std::vector<LegendEntry>& entries);

}  // namespace yolodist::pictures
