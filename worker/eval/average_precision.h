// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "worker/eval/image_statistics.h"
#include "worker/eval/matching.h"

namespace yolodist::eval {

// Curves are sampled at these many confidences, 0 … 1.
inline constexpr int kConfidenceCount = 1000;

// Quality of one class that occurs in the labels. P, R and F1 are taken at the confidence at which the mean
// F1 of all classes is best (the same for every class) and at IoU 0.5.
struct ClassPrecision {
  int class_index = 0;
  int64_t labels = 0;
  double precision = 0, recall = 0, f1 = 0;
  int64_t true_positives = 0, false_positives = 0;  // at that confidence, rounded
  std::array<double, kIouThresholdCount> average_precision{};
  double ap50() const { return average_precision.front(); }
  double ap() const;  // mean over the thresholds
};

// The curves of one class, each of length kConfidenceCount.
struct ClassCurves {
  std::vector<double> precision, recall, f1;  // over confidences()
  std::vector<double> precision_at_recall;    // IoU 0.5, over recalls 0 … 1 (same grid)
};

struct AveragePrecision {
  std::vector<ClassPrecision> classes;  // classes of the labels, ascending; others do not count
  std::vector<ClassCurves> curves;      // alike
  double best_confidence = 0;           // where the mean F1 is best
  bool has_true_positive = false;       // at any threshold; if not, `classes` holds zeros
};

// 0 … 1, the confidences (and recalls) at which curves are sampled.
const std::vector<double>& confidences();

// Precision and recall over all pictures, in double. Detections with equal scores keep the order of `images`.
// Source: ultralytics/yolov5 v7.0 utils/metrics.py, ap_per_class, compute_ap, smooth.
AveragePrecision average_precision(std::span<const ImageStatistics> images);

}  // namespace yolodist::eval
