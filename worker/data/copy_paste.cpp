// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/data/copy_paste.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include <opencv2/imgproc.hpp>

#include "common/base/philox.h"

namespace yolodist::data {
namespace {

// The part of `other` that `box` hides.
float hidden_share(const PixelBox& box, const PixelBox& other) {
  constexpr float epsilon = 1e-7f;  // px², so that a box without area divides nothing by zero
  const float w = std::max(0.0f, std::min(box.x2, other.x2) - std::max(box.x1, other.x1));
  const float h = std::max(0.0f, std::min(box.y2, other.y2) - std::max(box.y1, other.y1));
  return w * h / ((other.x2 - other.x1) * (other.y2 - other.y1) + epsilon);
}

void fill_polygon(cv::Mat& mask, const Polygon& segment) {
  std::vector<std::vector<cv::Point>> contour(1);
  for (const Point& point : segment) {
    contour.front().emplace_back(static_cast<int>(point.x), static_cast<int>(point.y));
  }
  cv::drawContours(mask, contour, -1, cv::Scalar(255), cv::FILLED);
}

}  // namespace

std::vector<int> chosen_objects(uint64_t key, int object_count, double share) {
  const auto count = static_cast<size_t>(
      std::clamp(static_cast<int>(std::nearbyint(share * object_count)), 0, object_count));
  std::vector<int> objects(static_cast<size_t>(object_count));
  std::iota(objects.begin(), objects.end(), 0);
  Draws64 draws(key, RandomStream::copy_paste, 0);
  for (size_t i = 0; i < count; ++i) {
    std::swap(objects[i], objects[i + draws.below(static_cast<uint32_t>(objects.size() - i))]);
  }
  objects.resize(count);
  return objects;
}

void copy_paste(Canvas& canvas, std::span<const int> objects) {
  if (objects.empty() || canvas.segments.size() != canvas.boxes.size()) {
    return;
  }
  constexpr float most_hidden = 0.30f;
  const auto width = static_cast<float>(canvas.image.cols);
  cv::Mat mask = cv::Mat::zeros(canvas.image.size(), CV_8UC1);
  bool is_any = false;
  for (const int object : objects) {
    const PixelBox source = canvas.boxes.at(static_cast<size_t>(object));
    const PixelBox mirrored{source.class_index, width - source.x2, source.y1, width - source.x1, source.y2};
    const bool is_free = std::all_of(canvas.boxes.begin(), canvas.boxes.end(), [&](const PixelBox& box) {
      return hidden_share(mirrored, box) < most_hidden;
    });
    if (!is_free) {
      continue;
    }
    const Polygon segment = canvas.segments[static_cast<size_t>(object)];
    if (!segment.empty()) {
      fill_polygon(mask, segment);
      is_any = true;
    }
    Polygon moved;
    moved.reserve(segment.size());
    for (const Point& point : segment) {
      moved.push_back({width - point.x, point.y});
    }
    canvas.boxes.push_back(mirrored);
    canvas.segments.push_back(std::move(moved));
  }
  if (is_any) {
    cv::Mat image;
    cv::flip(canvas.image, image, 1);
    cv::flip(mask, mask, 1);
    image.copyTo(canvas.image, mask);
  }
}

}  // namespace yolodist::data
