// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

namespace yolodist::ops {

// Batch norm by the batch's own statistics, whose sums are kept in double.
// LibTorch's kernel for channels_last fp32 on the CPU adds in float along all of N, H and W: on large maps
// its statistics are some 50 times less exact than those of its contiguous kernel, which shows in the losses
// of the first iterations.
//   x: fp32 [N, C, H, W], channels_last, on the CPU.  weight, bias: [C].
//   batch_mean, batch_variance: [C], written: mean and unbiased variance (0 for a single value a channel).
// Keeps x, mean and 1/deviation for backward, as LibTorch does. The result does not depend on the number of
// threads.
at::Tensor batch_norm_with_double_sums(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                                       const at::Tensor& batch_mean, const at::Tensor& batch_variance,
                                       double eps);

}  // namespace yolodist::ops
