// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "common/config/hyperparameters.h"
#include "worker/loss/targets.h"

namespace yolodist::loss {

// What the means of the loss divide by: the counts of the whole global batch, known before any forward.
struct Normalisers {
  std::vector<int64_t> match_count;  // n_i a level, over all groups of all ranks
  int64_t picture_count = 0;         // global batch size of this iteration
};

// The part of the three terms that one group contributes; summed over all groups of all ranks they are
// YOLOv5's lbox, lobj and lcls (gains applied, without the batch factor).
struct LossItems {
  double box = 0, objectness = 0, classes = 0;
  double total() const { return box + objectness + classes; }
};

struct GroupLoss {
  at::Tensor total;  // scalar, to call backward on: (box + obj + cls) * picture_count
  LossItems items;
};

// YOLOv5's loss for one group of a global batch.
//   raw: a level [N, A, G_y, G_x, K + 5], not decoded.  matches: of this group's targets, a level.
//   hyp: gains scaled to levels, classes and side (config::scaled).
// Sums are divided by the counts of the global batch, so gradients of groups and ranks are to be added.
// Source: ultralytics/yolov5 v7.0 utils/loss.py, ComputeLoss.
// Differs: a mean over the global batch instead of the mean of each rank's own means.
GroupLoss detection_loss(std::span<const at::Tensor> raw, std::span<const LevelMatches> matches,
                         const Normalisers& normalisers, const config::Hyperparameters& hyp);

// The weight of each level in the objectness term.
std::vector<double> level_balance(size_t level_count);

}  // namespace yolodist::loss
