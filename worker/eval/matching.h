// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "worker/data/sample.h"
#include "worker/eval/detection.h"

namespace yolodist::eval {

inline constexpr int kIouThresholdCount = 10;

// 0.50, 0.55, …, 0.95 as YOLOv5 computes them in float.
const std::array<float, kIouThresholdCount>& iou_thresholds();

// A labelled box, corners in pixels.
struct LabelBox {
  Box box;
  int class_index = 0;
};

// Intersection over union in float32, as YOLOv5 computes it (1e-7 in the denominator).
float iou(const Box& a, const Box& b);

// Input pixels -> native pixels, clipped to the picture.
Box to_native(const Box& box, const data::Fitting& fitting);

// Labels (fractions of an input of height_px x width_px) as boxes in native pixels.
std::vector<LabelBox> native_labels(std::span<const data::Target> targets, int height_px, int width_px,
                                    const data::Fitting& fitting);
// Detections in input pixels -> native pixels, same order.
std::vector<Detection> native_detections(std::span<const Detection> detections, const data::Fitting& fitting);

// For each detection a bit a threshold (bit t = iou_thresholds()[t]): it is a true positive there.
// `detections` best score first. At each threshold by itself: a detection goes to the label of its class that
// it overlaps most (if by at least the threshold), and a label takes the best-scored detection that came to
// it; a detection that loses its label gets no other. Of labels with equal overlap the last one counts.
// Source: ultralytics/yolov5 v7.0 val.py, process_batch.
std::vector<uint16_t> match(std::span<const Detection> detections, std::span<const LabelBox> labels);

}  // namespace yolodist::eval
