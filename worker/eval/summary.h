// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "worker/eval/average_precision.h"

namespace yolodist::eval {

// What a validation says. Means are over the classes that occur in the labels; all 0 without a true positive.
struct Metrics {
  double precision = 0, recall = 0, f1 = 0;
  double map50 = 0;  // mean AP at IoU 0.5
  double map = 0;    // mean AP over IoU 0.50 … 0.95
  int64_t images = 0;
  int64_t labels = 0;
  AveragePrecision detail;  // a class and the curves

  // What the best checkpoint is chosen by: 0.1 mAP50 + 0.9 mAP50-95.
  // Source: ultralytics/yolov5 v7.0 utils/metrics.py, fitness.
  double fitness() const { return 0.1 * map50 + 0.9 * map; }
};

// `images` in validation order (see merged).
Metrics summarize(std::span<const ImageStatistics> images);

// mAP50-95 of each class, the overall value for a class without labels: weighs pictures under
// --image-weights.
std::vector<double> map_per_class(const Metrics& metrics, int class_count);

// The lines of YOLOv5's table: header, the row of all classes, then, if asked for and there are several
// classes, a row a class that occurs in the labels.
std::string table_header();
std::string table_row(const std::string& name, int64_t images, int64_t labels, double precision,
                      double recall, double map50, double map);
std::vector<std::string> table(const Metrics& metrics, const std::vector<std::string>& names, bool per_class);

}  // namespace yolodist::eval
