// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/loss/box_iou.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/atan.h>
#include <ATen/ops/clamp_min.h>
#include <ATen/ops/max.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/min.h>
#include <ATen/ops/minimum.h>

#include <numbers>

namespace yolodist::loss {

at::Tensor complete_iou(const at::Tensor& predicted, const at::Tensor& target) {
  constexpr double eps = 1e-7;
  const at::Tensor x1 = predicted.select(1, 0), y1 = predicted.select(1, 1);
  const at::Tensor w1 = predicted.select(1, 2), h1 = predicted.select(1, 3);
  const at::Tensor x2 = target.select(1, 0), y2 = target.select(1, 1);
  const at::Tensor w2 = target.select(1, 2), h2 = target.select(1, 3);

  const at::Tensor left1 = x1 - w1 / 2, right1 = x1 + w1 / 2, top1 = y1 - h1 / 2, bottom1 = y1 + h1 / 2;
  const at::Tensor left2 = x2 - w2 / 2, right2 = x2 + w2 / 2, top2 = y2 - h2 / 2, bottom2 = y2 + h2 / 2;
  const at::Tensor overlap_w = at::clamp_min(at::minimum(right1, right2) - at::maximum(left1, left2), 0);
  const at::Tensor overlap_h = at::clamp_min(at::minimum(bottom1, bottom2) - at::maximum(top1, top2), 0);
  const at::Tensor intersection = overlap_w * overlap_h;
  const at::Tensor iou = intersection / (w1 * h1 + w2 * h2 - intersection + eps);

  const at::Tensor hull_w = at::maximum(right1, right2) - at::minimum(left1, left2);
  const at::Tensor hull_h = at::maximum(bottom1, bottom2) - at::minimum(top1, top2);
  const at::Tensor diagonal = hull_w * hull_w + hull_h * hull_h + eps;
  const at::Tensor dx = left2 + right2 - left1 - right1, dy = top2 + bottom2 - top1 - bottom1;
  const at::Tensor distance = (dx * dx + dy * dy) / 4;

  const at::Tensor angle = at::atan(w2 / h2) - at::atan(w1 / h1);
  const at::Tensor v = angle * angle * (4 / (std::numbers::pi * std::numbers::pi));
  // The weight of the shape term is a constant to the gradient.
  const at::Tensor alpha = v.detach() / (v.detach() - iou.detach() + (1 + eps));
  return iou - (distance / diagonal + v * alpha);
}

}  // namespace yolodist::loss
