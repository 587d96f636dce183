// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "worker/eval/summary.h"
#include "worker/train/train_step.h"
#include "worker/train/training.h"

namespace yolodist::train {

// The pictures of a run directory, drawn by rank 0 unless --noplots; other ranks do nothing. None of the
// calls is collective. Source of the names: ultralytics/yolov5 v7.0, what its run directory holds.

// labels.jpg.
void draw_start(const Training& training);
// train_batch0.jpg to train_batch2.jpg: rank 0's share of the first batches of the run.
void draw_batch(const Training& training, const std::vector<GroupBatch>& groups);
// val_batch0_labels.jpg, val_batch0_pred.jpg and so on, the curves of `metrics` and results.png.
void draw_end(const Training& training, const model::Model& model, const eval::Metrics& metrics);

}  // namespace yolodist::train
