// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "worker/eval/detection.h"
#include "worker/eval/matching.h"

namespace yolodist::eval {

// Which class was taken for which: [classes + 1, classes + 1], row = predicted, column = true, the last of
// both = background (a label that nothing met, a detection that met no label). Plain counts: ranks are merged
// by adding up `counts`.
struct ConfusionMatrix {
  explicit ConfusionMatrix(int class_count_of_data);

  int class_count = 0;
  std::vector<int64_t> counts;  // row-major

  int side() const { return class_count + 1; }
  int background() const { return class_count; }
  int64_t at(int predicted, int actual) const { return counts[index(predicted, actual)]; }
  size_t index(int predicted, int actual) const {
    return static_cast<size_t>(predicted) * static_cast<size_t>(side()) + static_cast<size_t>(actual);
  }
};

// A detection counts above this score, and meets a label that it overlaps by more than this.
inline constexpr float kConfusionConfidence = 0.25f;
inline constexpr float kConfusionIou = 0.45f;

// Adds one picture, boxes in native pixels. Whatever the classes, a detection goes to the label that it
// overlaps most, and a label takes the detection that overlaps it most of those that came to it; of equal
// overlaps the last. Detections that met nothing count as background only if any detection of the picture met
// a label: so does YOLOv5, whose false positives in empty pictures are therefore not in the matrix. Throws
// InternalError for a class out of range. Source: ultralytics/yolov5 v7.0 utils/metrics.py, ConfusionMatrix.
void add(ConfusionMatrix& matrix, std::span<const Detection> detections, std::span<const LabelBox> labels);

}  // namespace yolodist::eval
