// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "common/model_spec/model_spec.h"

// The largest that a training meets: what its memory is planned for.
namespace yolodist::plan {

inline int stride_of_sides(const model_spec::ModelSpec& spec) {
  return std::max(spec.max_stride_px(), 32);
}

// A side raised to a multiple of the stride, as training does.
inline int side_on_stride(const model_spec::ModelSpec& spec, int imgsz_px) {
  const int stride = stride_of_sides(spec);
  return (imgsz_px + stride - 1) / stride * stride;
}

// With --multi-scale, the largest side that an iteration can draw.
// Source: ultralytics/yolov5 v7.0 train.py, half to one and a half times the side, rounded down to the
// stride.
inline int largest_training_side(const model_spec::ModelSpec& spec, int imgsz_px, bool multi_scale) {
  const int stride = stride_of_sides(spec);
  return multi_scale ? (static_cast<int>(imgsz_px * 1.5) + stride - 1) / stride * stride : imgsz_px;
}

// Of a group of square pictures: validation pads by half a stride.
// Source: ultralytics/yolov5 v7.0 utils/dataloaders.py, rect with pad 0.5.
inline int largest_validation_side(const model_spec::ModelSpec& spec, int imgsz_px) {
  const int stride = stride_of_sides(spec);
  return static_cast<int>(std::ceil(static_cast<double>(imgsz_px) / stride + 0.5)) * stride;
}

// Anchors and cells that answer for `boxes` boxes at most: every anchor of every level, in a box's own cell
// and two neighbours. Source: ultralytics/yolov5 v7.0 utils/loss.py, build_targets.
inline int64_t most_matches(const model_spec::ModelSpec& spec, int64_t boxes) {
  constexpr int cells = 3;
  return boxes * cells * spec.anchors_per_level() * spec.level_count();
}

}  // namespace yolodist::plan
