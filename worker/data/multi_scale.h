// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "worker/data/shape.h"

namespace yolodist::data {

// The longer side for global batch number `batch` of an epoch with --multi-scale: half to one and a half
// times imgsz, a whole number of strides, from counters. Differs from YOLOv5, where each rank draws its own:
// here a global batch has one side. Source: ultralytics/yolov5 v7.0 train.py.
int multi_scale_side(int64_t seed, int epoch, int batch, int imgsz_px, int stride_px);

// A batch's shape once its longer side is about `side_px`: both sides by the same factor, up to whole
// strides. The pictures are resized to it bilinearly, corners not aligned.
Shape scaled_shape(Shape shape, int side_px, int stride_px);

}  // namespace yolodist::data
