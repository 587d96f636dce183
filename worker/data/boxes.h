// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "worker/data/sample.h"

namespace yolodist::data {

// A labelled box in pixels. fp32, and computed in the order of YOLOv5, so that rounding is the same.
struct PixelBox {
  int class_index = 0;
  float x1 = 0, y1 = 0, x2 = 0, y2 = 0;
};

// Boxes of a picture that is drawn width x height pixels large at (offset_x, offset_y).
std::vector<PixelBox> to_pixels(const std::vector<Target>& targets, double width_px, double height_px,
                                double offset_x_px, double offset_y_px);

// Centre and size as fractions of width x height, after clipping to [0, width - 0.001] and [0, height -
// 0.001]. Source: ultralytics/yolov5 v7.0 utils/general.py, xyxy2xywhn with clip and eps 1e-3.
std::vector<Target> to_fractions(const std::vector<PixelBox>& boxes, int width_px, int height_px);

}  // namespace yolodist::data
