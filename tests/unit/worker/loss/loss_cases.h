// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "common/base/philox.h"
#include "tests/support/tensors.h"
#include "worker/loss/detection_loss.h"

namespace yolodist::loss {

// Predictions and matches of a batch with many boxes.
struct LossCase {
  std::vector<at::Tensor> raw;  // leaves, strided as Detect hands them over from a channels_last convolution
  std::vector<LevelMatches> matches;
  Normalisers normalisers;
};

struct LossCaseOptions {
  int64_t pictures = 1, side_px = 96, class_count = 4;
  int64_t boxes = 100;  // all of the first picture
  at::ScalarType dtype = at::kFloat;
};

inline LossCase loss_case(const LossCaseOptions& options) {
  constexpr int64_t anchor_count = 3;
  Draws64 draws(21, RandomStream::weights, 0);
  std::vector<BatchTarget> targets;
  for (int64_t k = 0; k < options.boxes; ++k) {
    targets.push_back({0, draws.below(static_cast<uint32_t>(options.class_count)),
                       static_cast<float>(draws.uniform()), static_cast<float>(draws.uniform()),
                       static_cast<float>(draws.uniform(0.02, 0.6)),
                       static_cast<float>(draws.uniform(0.02, 0.6))});
  }
  LossCase made;
  std::vector<LevelShape> shapes;
  GridAnchors anchors;
  const int64_t outputs = options.class_count + 5;
  for (const int64_t stride : {8, 16, 32}) {
    const int64_t side = options.side_px / stride;
    shapes.push_back({side, side});
    anchors.push_back({{1.5F, 2.0F}, {2.5F, 2.0F}, {4.0F, 4.5F}});
    made.raw.push_back(test::random_tensor(static_cast<uint32_t>(stride),
                                           {options.pictures, side, side, anchor_count, outputs},
                                           options.dtype, -2, 2)
                           .permute({0, 3, 1, 2, 4})
                           .requires_grad_());
  }
  made.matches = match_targets(targets, anchors, shapes, 4.0F);
  made.normalisers.picture_count = options.pictures;
  for (const LevelMatches& level : made.matches) {
    made.normalisers.match_count.push_back(level.count());
  }
  return made;
}

}  // namespace yolodist::loss
