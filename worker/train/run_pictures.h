// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "worker/train/train_step.h"
#include "worker/train/training.h"
#include "worker/train/validation.h"

namespace yolodist::train {

// The pictures of a run directory, drawn by rank 0 unless --noplots; other ranks do nothing. None of the
// calls is collective. Source of the names: ultralytics/yolov5 v7.0, what its run directory holds.

// labels.jpg.
void draw_start(const Training& training);
// train_batch0.jpg to train_batch2.jpg: rank 0's share of the first batches of the run.
void draw_batch(const Training& training, const std::vector<GroupBatch>& groups);
// draw_validation of the last one, and results.png.
void draw_end(Training& training, const model::Model& model, const ValidationReport& report);

// val_batch0_labels.jpg, val_batch0_pred.jpg and so on, the curves and the confusion matrix of a validation,
// in `folder`. By the rank that calls it, which looks at the drawn pictures once more.
void draw_validation(const ValidationJob& job, const model::Model& model, const ValidationReport& report,
                     const std::filesystem::path& folder, const std::vector<std::string>& names);

}  // namespace yolodist::train
