// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/data/perspective.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

#include <opencv2/imgproc.hpp>

#include "common/base/error.h"
#include "worker/data/letterbox.h"

namespace yolodist::data {
namespace {

struct Spot {
  double x = 0, y = 0;
};

struct Hull {
  double x1 = 0, y1 = 0, x2 = 0, y2 = 0;
};

// Products accumulate by fused multiply-add in ascending order, as NumPy's BLAS does, to keep the last bit.
double dot3(double a0, double b0, double a1, double b1, double a2, double b2) {
  return std::fma(a2, b2, std::fma(a1, b1, a0 * b0));
}

Matrix3 product(const Matrix3& a, const Matrix3& b) {
  Matrix3 result{};
  for (size_t row = 0; row < 3; ++row) {
    for (size_t column = 0; column < 3; ++column) {
      result[row * 3 + column] =
          dot3(a[row * 3], b[column], a[row * 3 + 1], b[3 + column], a[row * 3 + 2], b[6 + column]);
    }
  }
  return result;
}

Spot moved(const Matrix3& m, double x, double y, bool is_perspective) {
  const double to_x = dot3(x, m[0], y, m[1], 1, m[2]);
  const double to_y = dot3(x, m[3], y, m[4], 1, m[5]);
  if (!is_perspective) {
    return {to_x, to_y};
  }
  const double depth = dot3(x, m[6], y, m[7], 1, m[8]);
  return {to_x / depth, to_y / depth};
}

Hull moved_box(const PixelBox& box, const Matrix3& matrix, bool is_perspective, Shape output) {
  const std::array<Spot, 4> corners = {
      moved(matrix, box.x1, box.y1, is_perspective), moved(matrix, box.x2, box.y2, is_perspective),
      moved(matrix, box.x1, box.y2, is_perspective), moved(matrix, box.x2, box.y1, is_perspective)};
  Hull hull{corners[0].x, corners[0].y, corners[0].x, corners[0].y};
  for (const Spot& corner : corners) {
    hull = {std::min(hull.x1, corner.x), std::min(hull.y1, corner.y), std::max(hull.x2, corner.x),
            std::max(hull.y2, corner.y)};
  }
  const double width = output.width_px, height = output.height_px;
  return {std::clamp(hull.x1, 0.0, width), std::clamp(hull.y1, 0.0, height), std::clamp(hull.x2, 0.0, width),
          std::clamp(hull.y2, 0.0, height)};
}

// The closed polygon as 1000 points at even distances in the number of its corners, not in its length.
std::vector<Spot> resampled(const Polygon& polygon) {
  constexpr int point_count = 1000;
  const size_t corner_count = polygon.size();  // the closing corner comes on top
  const auto corner = [&](size_t i) -> const Point& { return polygon[i % corner_count]; };
  const double step = static_cast<double>(corner_count) / (point_count - 1);
  std::vector<Spot> points;
  points.reserve(point_count);
  for (int i = 0; i < point_count; ++i) {
    const double at = i + 1 == point_count ? static_cast<double>(corner_count) : i * step;
    const auto before = static_cast<size_t>(at);
    const Point& a = corner(before);
    const double beyond = at - static_cast<double>(before);
    if (beyond == 0) {
      points.push_back({a.x, a.y});
      continue;
    }
    const Point& b = corner(before + 1);
    const double from_x = a.x, from_y = a.y;
    points.push_back({(b.x - from_x) * beyond + from_x, (b.y - from_y) * beyond + from_y});
  }
  return points;
}

// The hull of those points that land inside; nothing but zeros if none does.
Hull moved_segment(const Polygon& segment, const Matrix3& matrix, bool is_perspective, Shape output) {
  Hull hull;
  bool is_first = true;
  if (segment.empty()) {
    return hull;
  }
  for (const Spot& point : resampled(segment)) {
    const Spot spot = moved(matrix, point.x, point.y, is_perspective);
    if (!(spot.x >= 0 && spot.y >= 0 && spot.x <= output.width_px && spot.y <= output.height_px)) {
      continue;
    }
    hull = is_first ? Hull{spot.x, spot.y, spot.x, spot.y}
                    : Hull{std::min(hull.x1, spot.x), std::min(hull.y1, spot.y), std::max(hull.x2, spot.x),
                           std::max(hull.y2, spot.y)};
    is_first = false;
  }
  return hull;
}

// Whether a box is still worth learning after the warp: more than 2 px a side, more than `area_share` of its
// scaled area left, sides within 1 : 100.
bool is_worth_keeping(const PixelBox& before, const Hull& after, float scale, double area_share) {
  constexpr double epsilon = 1e-16, smallest_side_px = 2, largest_aspect = 100;
  const float before_w = before.x2 * scale - before.x1 * scale,
              before_h = before.y2 * scale - before.y1 * scale;
  const double w = after.x2 - after.x1, h = after.y2 - after.y1;
  const double aspect = std::max(w / (h + epsilon), h / (w + epsilon));
  return w > smallest_side_px && h > smallest_side_px &&
         w * h / static_cast<double>(before_w * before_h + static_cast<float>(epsilon)) > area_share &&
         aspect < largest_aspect;
}

bool has_point(const std::vector<Polygon>& segments) {
  return std::any_of(segments.begin(), segments.end(), [](const Polygon& segment) {
    return std::any_of(segment.begin(), segment.end(), [](const Point& p) { return p.x != 0 || p.y != 0; });
  });
}

}  // namespace

Matrix3 perspective_matrix(Shape input, Shape output, const PerspectiveDraws& draws) {
  constexpr double radians = std::numbers::pi / 180;
  const Matrix3 centring = {1, 0, -input.width_px / 2.0, 0, 1, -input.height_px / 2.0, 0, 0, 1};
  const Matrix3 perspective = {1, 0, 0, 0, 1, 0, draws.perspective_x, draws.perspective_y, 1};
  const cv::Mat turn = cv::getRotationMatrix2D(cv::Point2f(0, 0), draws.angle_degrees, draws.scale);
  const Matrix3 rotation = {turn.at<double>(0, 0),
                            turn.at<double>(0, 1),
                            turn.at<double>(0, 2),
                            turn.at<double>(1, 0),
                            turn.at<double>(1, 1),
                            turn.at<double>(1, 2),
                            0,
                            0,
                            1};
  const Matrix3 shear = {
      1, std::tan(draws.shear_x_degrees * radians), 0, std::tan(draws.shear_y_degrees * radians), 1, 0, 0, 0,
      1};
  const Matrix3 translation = {
      1, 0, draws.translate_x * output.width_px, 0, 1, draws.translate_y * output.height_px, 0, 0, 1};
  return product(product(product(product(translation, shear), rotation), perspective), centring);
}

Canvas random_perspective(const Canvas& canvas, const PerspectiveDraws& draws, bool is_perspective,
                          int border_px) {
  const Shape input{canvas.image.rows, canvas.image.cols};
  const Shape output{input.height_px - 2 * border_px, input.width_px - 2 * border_px};
  check(output.height_px > 0 && output.width_px > 0, "random_perspective: the border leaves something");
  const Matrix3 matrix = perspective_matrix(input, output, draws);
  constexpr Matrix3 identity = {1, 0, 0, 0, 1, 0, 0, 0, 1};

  Canvas result;
  if (border_px == 0 && matrix == identity) {
    result.image = canvas.image;
  } else {
    const cv::Mat warp(3, 3, CV_64F, const_cast<double*>(matrix.data()));
    const cv::Size size(output.width_px, output.height_px);
    if (is_perspective) {
      cv::warpPerspective(canvas.image, result.image, warp, size, cv::INTER_LINEAR, cv::BORDER_CONSTANT,
                          padding_colour());
    } else {
      cv::warpAffine(canvas.image, result.image, warp.rowRange(0, 2), size, cv::INTER_LINEAR,
                     cv::BORDER_CONSTANT, padding_colour());
    }
  }

  const bool uses_segments = canvas.segments.size() == canvas.boxes.size() && has_point(canvas.segments);
  for (size_t i = 0; i < canvas.boxes.size(); ++i) {
    const PixelBox& before = canvas.boxes[i];
    const Hull after = uses_segments ? moved_segment(canvas.segments[i], matrix, is_perspective, output)
                                     : moved_box(before, matrix, is_perspective, output);
    if (is_worth_keeping(before, after, static_cast<float>(draws.scale), uses_segments ? 0.01 : 0.10)) {
      result.boxes.push_back({before.class_index, static_cast<float>(after.x1), static_cast<float>(after.y1),
                              static_cast<float>(after.x2), static_cast<float>(after.y2)});
    }
  }
  return result;
}

}  // namespace yolodist::data
