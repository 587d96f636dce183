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

// The loss works through cells and matched rows in parts of at most so many bytes a tensor (one row of
// channels, or of cells, may be more), and holds at most twelve such tensors at a time besides the
// gradients; four without focal loss and positive weights.
inline constexpr int64_t slab_bytes = 512 << 10;
inline constexpr int64_t loss_temporaries_bytes = 12 * slab_bytes;

struct GroupLoss {
  at::Tensor total;  // scalar, to call backward on: (box + obj + cls) * picture_count
  LossItems items;
};

// YOLOv5's loss for one group of a global batch.
//   raw: a level [N, A, G_y, G_x, K + 5], not decoded.  matches: of this group's targets, a level.
//   hyp: gains scaled to levels, classes and side (config::scaled).
// Sums are divided by the counts of the global batch, so gradients of groups and ranks are to be added.
// The gradient is computed at once, into one buffer a level with the shape and strides of raw (none where
// gradients are off), and total is one node of the graph that hands these out. Besides them at most
// loss_temporaries_bytes live at a time, for any number of matches and classes; where gradients are off also
// one value a cell of one level.
// Source: ultralytics/yolov5 v7.0 utils/loss.py, ComputeLoss.
// Differs: a mean over the global batch instead of the mean of each rank's own means.
GroupLoss detection_loss(std::span<const at::Tensor> raw, std::span<const LevelMatches> matches,
                         const Normalisers& normalisers, const config::Hyperparameters& hyp);

// The weight of each level in the objectness term.
std::vector<double> level_balance(size_t level_count);

}  // namespace yolodist::loss
