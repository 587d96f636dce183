// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>

#include "worker/ops/activation.h"

namespace yolodist::ops {

// Several pieces that are computed again as one: from their common input.
struct Block {
  std::function<at::Tensor(Activation x)> forward;  // now
  std::function<at::Tensor(Activation x)> again;    // in backward: the same values, no side effects
  bool has_trained_parameters = false;  // whether a parameter that `forward` uses requires a gradient
  int layer = -1;                       // for reports
};

// Runs `forward` without recording and keeps x for backward alone, or its recipe if it has one. Backward
// runs `again` with recording and goes backward through that at once: gradients of parameters are
// accumulated where they lie and fire their hooks, once each, as in any backward. Where neither x nor a
// parameter requires a gradient nothing is kept. The result has no recipe.
at::Tensor run_and_run_again(Activation x, Block block);

}  // namespace yolodist::ops
