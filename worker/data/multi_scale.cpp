// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/data/multi_scale.h"

#include <algorithm>
#include <cmath>

#include "common/base/error.h"
#include "common/base/philox.h"

namespace yolodist::data {

int multi_scale_side(int64_t seed, int epoch, int batch, int imgsz_px, int stride_px) {
  check(imgsz_px > 0 && stride_px > 0, "multi_scale_side: side and stride are positive");
  const auto smallest = static_cast<int>(imgsz_px * 0.5), end = static_cast<int>(imgsz_px * 1.5) + stride_px;
  Draws64 draws(static_cast<uint64_t>(seed), RandomStream::multi_scale, static_cast<uint32_t>(epoch),
                static_cast<uint32_t>(batch));
  const int drawn = smallest + static_cast<int>(draws.below(static_cast<uint32_t>(end - smallest)));
  return std::max(stride_px, drawn / stride_px * stride_px);
}

Shape scaled_shape(Shape shape, int side_px, int stride_px) {
  check(side_px > 0 && stride_px > 0, "scaled_shape: side and stride are positive");
  const double factor = static_cast<double>(side_px) / std::max(shape.height_px, shape.width_px);
  if (factor == 1.0) {
    return shape;
  }
  const auto scaled = [&](int side) {
    return static_cast<int>(std::ceil(side * factor / stride_px)) * stride_px;
  };
  return {scaled(shape.height_px), scaled(shape.width_px)};
}

}  // namespace yolodist::data
