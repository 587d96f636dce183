// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

#include "worker/data/index.h"
#include "worker/data/shape.h"

namespace yolodist::data {

// Pictures in batches of like shape: `order` lists them by height / width ascending (equal ones in their own
// order), batch k holds order[k * batch_size, ...) and is shapes[k] large.
struct RectBatches {
  std::vector<int> order;
  int batch_size = 0;
  std::vector<Shape> shapes;
};

// `native` are the pictures' own sides. Pads, in strides: validation 0.5, training with --rect 0.
// Source: ultralytics/yolov5 v7.0 utils/dataloaders.py, LoadImagesAndLabels with rect.
RectBatches rect_batches(std::span<const Shape> native, int batch_size, int imgsz_px, int stride_px,
                         double pad);

// An epoch of training with --rect: every epoch has this order (no shuffling), global batch k is shapes[k]
// large on all ranks, and samples are made with SampleContext::rect, so without mosaic.
RectBatches training_rect_batches(const Index& index, int global_batch, int imgsz_px, int stride_px);

// The shape of one batch from its extreme ratios height / width.
Shape rect_shape(double smallest_ratio, double largest_ratio, int imgsz_px, int stride_px, double pad);

}  // namespace yolodist::data
