// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/loss/cross_entropy.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/binary_cross_entropy_with_logits.h>
#include <ATen/ops/full.h>
#include <ATen/ops/sigmoid.h>
#include <torch/csrc/autograd/autograd.h>

namespace yolodist::loss {
namespace {

at::Tensor entropy_sum(const at::Tensor& logits, const at::Tensor& labels, const EntropyOptions& options) {
  const at::Tensor weight = options.positive_weight == 1.0 ? at::Tensor()
                                                           : at::full({1}, options.positive_weight,
                                                                      logits.options().requires_grad(false));
  if (options.gamma <= 0) {
    return at::binary_cross_entropy_with_logits(logits, labels, {}, weight, at::Reduction::Sum);
  }
  constexpr double alpha = 0.25;
  const at::Tensor entropy =
      at::binary_cross_entropy_with_logits(logits, labels, {}, weight, at::Reduction::None);
  const at::Tensor probability = at::sigmoid(logits);
  const at::Tensor right = labels * probability + (1 - labels) * (1 - probability);
  const at::Tensor class_weight = labels * alpha + (1 - labels) * (1 - alpha);
  return (entropy * class_weight * (1 - right).pow(options.gamma)).sum();
}

}  // namespace

Piece cross_entropy_sum(const at::Tensor& logits, const at::Tensor& labels, const EntropyOptions& options,
                        std::optional<double> coefficient) {
  if (!coefficient) {
    const at::NoGradGuard no_grad;
    return {entropy_sum(logits, labels, options), {}};
  }
  const at::AutoGradMode with_grad(true);
  const at::Tensor leaf = logits.detach().requires_grad_();
  const at::Tensor sum = entropy_sum(leaf, labels, options);
  return {sum.detach(), local_gradient(sum, leaf, *coefficient)};
}

at::Tensor local_gradient(const at::Tensor& sum, const at::Tensor& leaf, double coefficient) {
  const at::Tensor scale = at::full({}, coefficient, sum.options().requires_grad(false));
  return torch::autograd::grad({sum}, {leaf}, {scale})[0];
}

}  // namespace yolodist::loss
