// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
// A label file. What is read has to be fit for training.
#include <cmath>
#include <cstdint>
#include <string_view>

#include "common/base/error.h"
#include "worker/data/labels.h"

namespace {

using namespace yolodist::data;

bool is_fraction(float value) {
  return std::isfinite(value) && value >= 0 && value <= 1;
}

bool is_near(float value) {
  return std::isfinite(value) && value >= -0.51f && value <= 1.51f;
}

void check_labels(const Labels& labels, int class_count) {
  for (const Target& target : labels.targets) {
    yolodist::check(target.class_index >= 0 && target.class_index < class_count, "a class is out of range");
    yolodist::check(
        is_fraction(target.x) && is_fraction(target.y) && is_fraction(target.w) && is_fraction(target.h),
        "a box is outside the picture");
  }
  yolodist::check(labels.segments.empty() || labels.segments.size() == labels.targets.size(),
                  "polygons do not go with the boxes");
  for (const Polygon& polygon : labels.segments) {
    for (const Point& point : polygon) {
      // As with YOLOv5 only the hull's centre and size are held to 0 to 1, so that a vertex may lie outside
      // by half.
      yolodist::check(is_near(point.x) && is_near(point.y), "a polygon is far outside the picture");
    }
  }
  yolodist::check(labels.problem.empty() || labels.targets.empty(), "an unusable file has boxes");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const bool single_cls : {false, true}) {
    try {
      check_labels(parse_labels(text, {80, single_cls, "data.yaml"}, "labels/x.txt"), single_cls ? 1 : 80);
    } catch (const yolodist::DataError&) {  // a class past the names
    }
  }
  return 0;
}
