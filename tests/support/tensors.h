// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/tensor.h>

#include <cstdint>
#include <vector>

#include "common/base/philox.h"

namespace yolodist::test {

// All elements in row-major order.
inline std::vector<double> values_of(const at::Tensor& tensor) {
  const at::Tensor flat = tensor.detach().to(at::kDouble).contiguous();
  return {flat.const_data_ptr<double>(), flat.const_data_ptr<double>() + flat.numel()};
}

// Uniform in [low, high), a function of the seed.
inline at::Tensor random_tensor(uint32_t seed, const std::vector<int64_t>& shape,
                                at::ScalarType dtype = at::kDouble, double low = -1, double high = 1) {
  Draws64 draws(1, RandomStream::weights, seed);
  int64_t count = 1;
  for (const int64_t side : shape) {
    count *= side;
  }
  std::vector<double> values(static_cast<size_t>(count));
  for (double& value : values) {
    value = draws.uniform(low, high);
  }
  return at::tensor(values, at::kDouble).view(shape).to(dtype);
}

}  // namespace yolodist::test
