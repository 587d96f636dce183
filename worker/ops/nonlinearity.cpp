// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/ops/nonlinearity.h"

#include <ATen/ops/hardswish.h>
#include <ATen/ops/hardswish_backward.h>
#include <ATen/ops/leaky_relu.h>
#include <ATen/ops/leaky_relu_backward.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/silu_backward.h>
#include <ATen/ops/threshold_backward.h>
#include <c10/core/GradMode.h>

#include "common/base/error.h"
#include "common/base/text.h"

namespace yolodist::ops {

using Kind = Nonlinearity::Kind;

Nonlinearity nonlinearity_of(const std::string& name) {
  if (name == "SiLU") {
    return {Kind::silu};
  }
  if (name == "ReLU") {
    return {Kind::relu};
  }
  if (name == "Hardswish") {
    return {Kind::hardswish};
  }
  if (name == "Identity") {
    return {Kind::identity};
  }
  check(name.starts_with("LeakyReLU("), cat("activation ", name, " passed the yaml reader"));
  return {Kind::leaky_relu, std::stod(name.substr(std::string("LeakyReLU(").size()))};
}

at::Tensor apply(const Nonlinearity& f, const at::Tensor& u) {
  const c10::NoGradGuard no_grad;
  switch (f.kind) {
    case Kind::silu:
      return at::silu(u);
    case Kind::relu:
      return at::relu(u);
    case Kind::leaky_relu:
      return at::leaky_relu(u, f.slope);
    case Kind::hardswish:
      return at::hardswish(u);
    case Kind::identity:
      break;
  }
  return u;
}

at::Tensor apply_in_place(const Nonlinearity& f, at::Tensor u) {
  const c10::NoGradGuard no_grad;
  switch (f.kind) {
    case Kind::silu:
      return at::silu_(u);
    case Kind::relu:
      return at::relu_(u);
    case Kind::leaky_relu:
      return at::leaky_relu_(u, f.slope);
    case Kind::hardswish:
      return at::hardswish_(u);
    case Kind::identity:
      break;
  }
  return u;
}

at::Tensor backward(const Nonlinearity& f, const at::Tensor& gradient, at::Tensor u) {
  const c10::NoGradGuard no_grad;
  switch (f.kind) {
    case Kind::silu:
      return at::silu_backward_out(u, gradient, u);
    case Kind::relu:
      return at::threshold_backward_out(u, gradient, u, 0);
    case Kind::leaky_relu:
      return at::leaky_relu_backward_out(u, gradient, u, f.slope, /*self_is_result=*/false);
    case Kind::hardswish:
      return at::hardswish_backward(gradient, u);
    case Kind::identity:
      break;
  }
  return gradient;
}

}  // namespace yolodist::ops
