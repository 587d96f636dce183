// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/data/rect_shapes.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "common/base/error.h"

namespace yolodist::data {

Shape rect_shape(double smallest_ratio, double largest_ratio, int imgsz_px, int stride_px, double pad) {
  double height = 1, width = 1;
  if (largest_ratio < 1) {
    height = largest_ratio;
  } else if (smallest_ratio > 1) {
    width = 1 / smallest_ratio;
  }
  const auto in_strides = [&](double side) {
    return static_cast<int>(std::ceil(side * imgsz_px / stride_px + pad)) * stride_px;
  };
  return {in_strides(height), in_strides(width)};
}

RectBatches rect_batches(std::span<const Shape> native, int batch_size, int imgsz_px, int stride_px,
                         double pad) {
  check(batch_size > 0 && stride_px > 0, "rect_batches: batch size and stride are positive");
  const auto ratio = [&](int picture) {
    const Shape& shape = native[static_cast<size_t>(picture)];
    return static_cast<double>(shape.height_px) / shape.width_px;
  };
  RectBatches batches;
  batches.batch_size = batch_size;
  batches.order.resize(native.size());
  std::iota(batches.order.begin(), batches.order.end(), 0);
  std::stable_sort(batches.order.begin(), batches.order.end(),
                   [&](int a, int b) { return ratio(a) < ratio(b); });
  for (size_t first = 0; first < native.size(); first += static_cast<size_t>(batch_size)) {
    const size_t last = std::min(native.size(), first + static_cast<size_t>(batch_size)) - 1;
    batches.shapes.push_back(
        rect_shape(ratio(batches.order[first]), ratio(batches.order[last]), imgsz_px, stride_px, pad));
  }
  return batches;
}

RectBatches training_rect_batches(const Index& index, int global_batch, int imgsz_px, int stride_px) {
  constexpr double pad = 0;
  std::vector<Shape> native;
  native.reserve(index.pictures.size());
  for (const Picture& picture : index.pictures) {
    native.push_back({picture.height_px, picture.width_px});
  }
  return rect_batches(native, global_batch, imgsz_px, stride_px, pad);
}

}  // namespace yolodist::data
