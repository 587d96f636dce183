// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace yolodist::optim {

// Scalars on the gradients' device: nobody has waited for them yet.
struct GradientCheck {
  at::Tensor norm;    // fp64: the L2 norm of all gradients, without the loss scale and before clipping
  at::Tensor is_bad;  // fp32: 1 where that norm is not finite, else 0
};

// Divides the gradients by the loss scale (`scale`: fp32 scalar on their device; undefined = 1) and makes
// their total L2 norm at most `max_norm`. Gradients that are not finite are worthless afterwards.
// Source: ultralytics/yolov5 v7.0 train.py clips to 10.0, by torch's clip_grad_norm_.
GradientCheck unscale_and_clip(const std::vector<at::Tensor>& gradients, const at::Tensor& scale,
                               double max_norm);

}  // namespace yolodist::optim
