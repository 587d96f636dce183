// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

namespace yolodist::loss {

// A sum and, where it was asked for, its gradient (undefined otherwise). Neither is part of a graph.
struct Piece {
  at::Tensor sum;       // scalar
  at::Tensor gradient;  // shaped like what it is the gradient for
};

struct EntropyOptions {
  double positive_weight = 1;
  double gamma = 0;  // of the focal loss; 0 = plain
};

// Sum of the elements' binary cross entropies, with YOLOv5's positive weight and focal option.
//   logits, labels: any shape, the same for both; neither may require a gradient.
// With a coefficient the piece has the gradient of coefficient * sum with respect to logits.
// Up to eleven tensors of the shape of logits live at a time, logits, labels and gradient among them (four
// without options).
// Source: ultralytics/yolov5 v7.0 utils/loss.py, FocalLoss (alpha 0.25).
Piece cross_entropy_sum(const at::Tensor& logits, const at::Tensor& labels, const EntropyOptions& options,
                        std::optional<double> coefficient);

// The gradient of coefficient * sum with respect to leaf. For graphs that were built for it alone.
at::Tensor local_gradient(const at::Tensor& sum, const at::Tensor& leaf, double coefficient);

}  // namespace yolodist::loss
