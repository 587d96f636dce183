// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string>

#include "common/plan/recompute.h"
#include "worker/ops/activation.h"
#include "worker/ops/batch_norm.h"
#include "worker/ops/nonlinearity.h"

namespace yolodist::ops {

struct Convolution {
  at::Tensor weight, bias;  // bias may be undefined. Another dtype than x's is cast to it
  int64_t stride = 1, padding = 0, dilation = 1, groups = 1;
};

// A convolution, its batch norm and its nonlinearity: the piece that all layers are made of. Each of the
// three may be absent.
struct Piece {
  std::optional<Convolution> convolution;
  std::optional<BatchNorm> batch_norm;
  Nonlinearity nonlinearity;
  int layer = -1;                     // for reports: index in the layer table
  const std::string* name = nullptr;  // the same: "model.2.cv1"; lives until after backward
};

// Runs a piece: y = convolution, u = batch norm, z = nonlinearity. When a gradient is to be recorded it is
// one autograd node, which keeps for backward:
//   none         x, y, u and the statistics
//   activations  y and the statistics; u is computed again, and x is too if it has a recipe (else it is kept)
// and of these only what the wanted gradients need: no x with a frozen weight, no u without a nonlinearity.
// When none is recorded (no_grad, or all is frozen), nothing is kept and each tensor goes as soon as it is
// used. Outputs and gradients of both policies are equal to the bit. The output has a recipe when it comes
// from a batch norm whose input a node keeps.
//
// Backward can run once, and drops each tensor as soon as it is used. Gradients of weights that were cast are
// cast back. Recompute::block is the caller's: here it is `activations`.
Activation run(Activation x, const Piece& piece, plan::Recompute policy);

}  // namespace yolodist::ops
