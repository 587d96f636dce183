// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

namespace yolodist::ops {

// The function that follows a batch norm.
struct Nonlinearity {
  enum class Kind { identity, silu, relu, leaky_relu, hardswish };
  Kind kind = Kind::identity;
  double slope = 0;  // of leaky_relu, below 0
  bool is_identity() const { return kind == Kind::identity; }
};

// By the name that ModelSpec::activation has: "SiLU", "LeakyReLU(0.1)", … Another name is a bug.
Nonlinearity nonlinearity_of(const std::string& name);

// f(u). In place the result is the same to the bit. Neither records anything for backward.
at::Tensor apply(const Nonlinearity& f, const at::Tensor& u);
at::Tensor apply_in_place(const Nonlinearity& f, at::Tensor u);

// The gradient with respect to u, from the one with respect to f(u). The result takes over the memory of `u`,
// except for Hardswish.
at::Tensor backward(const Nonlinearity& f, const at::Tensor& gradient, at::Tensor u);

}  // namespace yolodist::ops
