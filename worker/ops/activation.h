// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <vector>

namespace yolodist::ops {

// How a consumer makes a tensor again during backward instead of keeping it: from what its producer keeps
// anyhow. What comes out is the tensor of the forward to the bit.
class Recipe {
 public:
  virtual ~Recipe() = default;
  virtual at::Tensor rebuild() const = 0;
};

// What layers and the pieces inside of them hand to each other. `from` is empty where there is no way to make
// the value again: then who needs it in backward keeps it.
struct Activation {
  at::Tensor value;  // [N, C, H, W]
  std::shared_ptr<const Recipe> from;
};

// Concatenation along the channels. Has a recipe, if one is wanted, when one of the parts has; parts without
// are kept by value then.
Activation join(const std::vector<Activation>& parts, bool wants_recipe);

// Nearest neighbours; has a recipe when x has.
Activation upsample(const Activation& x, int64_t scale);

}  // namespace yolodist::ops
