// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/pictures/chart.h"

#include <algorithm>
#include <cmath>

#include <opencv2/imgproc.hpp>

#include "common/base/text.h"

namespace yolodist::pictures {
namespace {

constexpr int kTick_px = 5;
constexpr int kFractionBits = 4;  // of curve points handed to OpenCV
constexpr int kLegendLine_px = 24;

// The smallest of 1, 2, 5, 10, … that cuts `span` into at most `most` pieces.
double nice_step(double span, int most) {
  const double raw = span / std::max(1, most);
  const double power = std::pow(10.0, std::floor(std::log10(raw)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= raw * (1 - 1e-9)) {
      return factor * power;
    }
  }
  return 10 * power;
}

double step_of(const Axis& axis, int most) {
  const double step = nice_step(std::abs(axis.range.high - axis.range.low), most);
  return axis.is_whole ? std::max(1.0, step) : step;
}

// How many tick labels fit.
int most_ticks(const Chart& chart, bool is_x) {
  const double room =
      is_x ? chart.plot.width / (chart.capital_px * 6.5) : chart.plot.height / (chart.capital_px * 4);
  return std::clamp(static_cast<int>(room), 2, 10);
}

// A point of the plot in fixed point, relative to the plot's corner.
cv::Point fixed_point(const Chart& chart, double x, double y) {
  constexpr double limit = 1e5;  // far outside; keeps the integers small
  const cv::Point2d place = place_of(chart, x, y) - cv::Point2d(chart.plot.tl());
  const auto fixed = [limit](double px) {
    return static_cast<int>(std::lround(std::clamp(px, -limit, limit) * (1 << kFractionBits)));
  };
  return {fixed(place.x), fixed(place.y)};
}

cv::Mat inside(cv::Mat& canvas, const Chart& chart) {
  // One more pixel, so that values at the ends of the range are drawn in full.
  return canvas(cv::Rect(chart.plot.tl(), chart.plot.size() + cv::Size(1, 1)) &
                cv::Rect({0, 0}, canvas.size()));
}

}  // namespace

Range range_of(std::span<const double> values) {
  Range range{INFINITY, -INFINITY};
  for (const double value : values) {
    if (std::isfinite(value)) {
      range = {std::min(range.low, value), std::max(range.high, value)};
    }
  }
  if (range.low > range.high) {
    return {};
  }
  double room = 0.05 * (range.high - range.low);
  if (room <= std::abs(range.high) * 1e-9) {
    room = range.high == 0 ? 0.5 : 0.1 * std::abs(range.high);
  }
  return {range.low - room, range.high + room};
}

std::vector<double> tick_places(const Range& range, int most, bool is_whole) {
  const double step = step_of({range, "", is_whole}, most);
  std::vector<double> places;
  const double tolerance = 1e-9 * step;
  const auto [low, high] = std::minmax(range.low, range.high);
  for (double n = std::ceil((low - tolerance) / step); n * step <= high + tolerance; ++n) {
    places.push_back(n * step);
  }
  return places;
}

std::string tick_text(double value, double step) {
  const double size = std::max(std::abs(value), step);
  if (size >= 1e6 || step < 1e-5) {
    return std::abs(value) < step / 2 ? "0" : printf_string("%.3g", value);
  }
  const int decimals = std::max(0, static_cast<int>(std::ceil(-std::log10(step) - 1e-9)));
  return printf_string("%.*f", decimals, std::abs(value) < step / 2 ? 0.0 : value);
}

cv::Point2d place_of(const Chart& chart, double x, double y) {
  const auto share = [](const Range& range, double value) {
    return (value - range.low) / (range.high - range.low);
  };
  return {chart.plot.x + share(chart.x.range, x) * chart.plot.width,
          chart.plot.y + (1 - share(chart.y.range, y)) * chart.plot.height};
}

void draw_frame(cv::Mat& canvas, const Chart& chart) {
  const cv::Rect& plot = chart.plot;
  for (const double x : tick_places(chart.x.range, most_ticks(chart, true), chart.x.is_whole)) {
    const int column = cvRound(place_of(chart, x, chart.y.range.low).x);
    cv::line(canvas, {column, plot.y}, {column, plot.br().y}, grid_ink(), 1);
  }
  for (const double y : tick_places(chart.y.range, most_ticks(chart, false), chart.y.is_whole)) {
    const int row = cvRound(place_of(chart, chart.x.range.low, y).y);
    cv::line(canvas, {plot.x, row}, {plot.br().x, row}, grid_ink(), 1);
  }
  draw_axes(canvas, chart);
}

void draw_axes(cv::Mat& canvas, const Chart& chart) {
  const cv::Rect& plot = chart.plot;
  const TextStyle small{chart.capital_px, ink(), false};
  const TextStyle normal{chart.capital_px + 1, ink(), false};
  const int label_room = cvRound(chart.capital_px);
  cv::rectangle(canvas, plot.tl(), plot.br(), faint_ink(), 1);
  const int most_x = most_ticks(chart, true), most_y = most_ticks(chart, false);
  for (const double x : tick_places(chart.x.range, most_x, chart.x.is_whole)) {
    const int column = cvRound(place_of(chart, x, chart.y.range.low).x);
    cv::line(canvas, {column, plot.br().y}, {column, plot.br().y + kTick_px}, faint_ink(), 1);
    draw_text(canvas, tick_text(x, step_of(chart.x, most_x)), {column, plot.br().y + kTick_px + label_room},
              small, Align::centre);
  }
  int widest = 0;
  for (const double y : tick_places(chart.y.range, most_y, chart.y.is_whole)) {
    const int row = cvRound(place_of(chart, chart.x.range.low, y).y);
    const std::string text = tick_text(y, step_of(chart.y, most_y));
    cv::line(canvas, {plot.x - kTick_px, row}, {plot.x, row}, faint_ink(), 1);
    draw_text(canvas, text, {plot.x - kTick_px - 4, row}, small, Align::right);
    widest = std::max(widest, text_size(text, small).width);
  }
  const cv::Point centre = (plot.tl() + plot.br()) / 2;
  draw_text(canvas, chart.title, {centre.x, plot.y - 8 - label_room}, {chart.capital_px + 2, ink(), true},
            Align::centre);
  draw_text(canvas, chart.x.title, {centre.x, plot.br().y + kTick_px + 3 * label_room + 2}, normal,
            Align::centre);
  draw_text_upwards(canvas, chart.y.title, {plot.x - kTick_px - 10 - widest - label_room, centre.y}, normal,
                    Align::centre);
}

void draw_curve(cv::Mat& canvas, const Chart& chart, std::span<const double> xs, std::span<const double> ys,
                const Colour& colour, int thickness_px) {
  cv::Mat plot = inside(canvas, chart);
  std::vector<cv::Point> run;
  const auto finish = [&] {
    if (run.size() > 1) {
      cv::polylines(plot, run, false, colour, thickness_px, cv::LINE_AA, kFractionBits);
    }
    run.clear();
  };
  for (size_t i = 0; i < std::min(xs.size(), ys.size()); ++i) {
    if (std::isfinite(xs[i]) && std::isfinite(ys[i])) {
      run.push_back(fixed_point(chart, xs[i], ys[i]));
    } else {
      finish();
    }
  }
  finish();
}

void draw_points(cv::Mat& canvas, const Chart& chart, std::span<const double> xs, std::span<const double> ys,
                 const Colour& colour, int radius_px) {
  cv::Mat plot = inside(canvas, chart);
  for (size_t i = 0; i < std::min(xs.size(), ys.size()); ++i) {
    if (std::isfinite(xs[i]) && std::isfinite(ys[i])) {
      cv::circle(plot, fixed_point(chart, xs[i], ys[i]), radius_px << kFractionBits, colour, cv::FILLED,
                 cv::LINE_AA, kFractionBits);
    }
  }
}

void draw_vertical(cv::Mat& canvas, const Chart& chart, double x, const Colour& colour) {
  constexpr int dash_px = 6;
  const int column = cvRound(place_of(chart, x, chart.y.range.low).x);
  for (int row = chart.plot.y; row < chart.plot.br().y; row += 2 * dash_px) {
    cv::line(canvas, {column, row}, {column, std::min(row + dash_px, chart.plot.br().y)}, colour, 1);
  }
}

void draw_note(cv::Mat& canvas, const cv::Rect& plot, const std::string& text) {
  draw_text(canvas, text, (plot.tl() + plot.br()) / 2, {12, faint_ink(), false}, Align::centre);
}

void draw_legend(cv::Mat& canvas, cv::Point top_left, int width_px, const std::vector<LegendEntry>& entries) {
  constexpr int line_px = 26, gap_px = 10;
  const auto style_of = [](const LegendEntry& entry) { return TextStyle{9.5, ink(), entry.is_bold}; };
  int row = top_left.y + kLegendLine_px / 2;
  for (const LegendEntry& entry : entries) {
    const int value_width = entry.value.empty() ? 0 : text_size(entry.value, style_of(entry)).width + gap_px;
    cv::line(canvas, {top_left.x, row}, {top_left.x + line_px, row}, entry.colour, entry.thickness_px,
             cv::LINE_AA);
    draw_text(canvas, shortened(entry.name, width_px - line_px - gap_px - value_width, style_of(entry)),
              {top_left.x + line_px + gap_px, row}, style_of(entry));
    draw_text(canvas, entry.value, {top_left.x + width_px, row}, style_of(entry), Align::right);
    row += kLegendLine_px;
  }
}

}  // namespace yolodist::pictures
