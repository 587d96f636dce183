// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/optim/gradients.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/norm.h>
#include <ATen/ops/stack.h>
#include <c10/core/GradMode.h>

namespace yolodist::optim {

GradientCheck unscale_and_clip(const std::vector<at::Tensor>& gradients, const at::Tensor& scale,
                               double max_norm) {
  const c10::NoGradGuard no_grad;
  std::vector<at::Tensor> norms;
  for (const at::Tensor& gradient : gradients) {
    norms.push_back(at::norm(gradient).to(at::kDouble));
  }
  const at::Tensor all = at::stack(norms);
  GradientCheck check;
  check.norm = (all * all).sum().sqrt();
  at::Tensor divisor;
  if (scale.defined()) {
    divisor = scale.to(at::kDouble);
    check.norm.div_(divisor);
  }
  check.is_bad = at::isfinite(check.norm).logical_not().to(at::kFloat);
  at::Tensor factor = (max_norm / (check.norm + 1e-6)).clamp_max(1.0);  // the guard of clip_grad_norm_
  if (scale.defined()) {
    factor.div_(divisor);
  }
  // On a card looking at the factor would cost more than a multiplication by 1.
  if (!factor.is_cpu() || factor.item<double>() != 1) {
    for (const at::Tensor& gradient : gradients) {
      at::Tensor(gradient).mul_(factor);
    }
  }
  return check;
}

}  // namespace yolodist::optim
