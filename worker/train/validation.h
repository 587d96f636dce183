// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "worker/eval/summary.h"
#include "worker/train/training.h"

namespace yolodist::train {

struct ValidationReport {
  ValidationResult result;
  eval::Metrics metrics;
};

// Validates a model over all ranks: groups in rect order, a slice of each group a rank, which keeps the
// group's shape, so the metrics are the same for any number of ranks. Collective; every rank returns the same
// report. Source: ultralytics/yolov5 v7.0 val.py (conf 0.001, IoU 0.6, 300 detections a picture). Differs:
// sharded over the ranks, and no time limit in NMS.
ValidationReport validate(Training& training, const model::Model& model);

}  // namespace yolodist::train
