// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

#include "worker/eval/detection.h"

namespace yolodist::eval {

// The defaults are those of YOLOv5's validation.
struct NmsOptions {
  float confidence = 0.001f;   // objectness and score must both be above
  double iou = 0.6;            // a box that overlaps a better one by more is dropped
  bool multi_label = true;     // a box may have several classes; else only its best
  bool agnostic = false;       // boxes of different classes suppress each other
  int max_candidates = 30000;  // the best so many enter suppression
  int max_detections = 300;    // an image
  std::vector<int> classes;    // only these take part; empty = all
};

// Non-maximum suppression over one image's decoded predictions: [rows, 5 + class_count] row-major, each row
// x, y, w, h (centre and size in input pixels), objectness, class probabilities. Returns the survivors in
// input pixels, best score first; equal scores keep the order (row, class), so the result depends on the
// numbers only. Throws InternalError when the span is not a whole number of rows. Source: ultralytics/yolov5
// v7.0 utils/general.py, non_max_suppression. Differs: there is no time limit, which makes YOLOv5 drop the
// detections of slow batches.
std::vector<Detection> suppress(std::span<const float> predictions, int class_count,
                                const NmsOptions& options);

}  // namespace yolodist::eval
