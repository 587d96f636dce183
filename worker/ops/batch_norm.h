// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

namespace yolodist::ops {

// A batch norm, and which statistics it takes. All tensors are [C], fp32 where x is of lower precision.
struct BatchNorm {
  at::Tensor weight, bias;
  at::Tensor running_mean, running_variance;  // normalise, if not `measures`
  bool measures = false;                      // normalise by the batch's own
  at::Tensor batch_mean, batch_variance;      // with `measures`: written if defined: mean, unbiased variance
  double eps = 1e-5;
};

// What normalises: with it a batch norm can be computed again to the bit.
struct Statistics {
  at::Tensor mean, variance;     // [C]; of a batch: biased
  at::Tensor inverse_deviation;  // [C], 1/sqrt(variance + eps); undefined for running statistics
};

// The batch's statistics, or the running ones, as the batch norm says. Those of a batch lie in one tensor
// [3, C]. Of a single value a channel there is no unbiased variance: 0 or NaN is recorded.
// x: [N, C, H, W], channels_last; fp32, fp64, fp16 or bf16 on the CPU, anything on CUDA.
//
// On the CPU sums over fp32, fp16 and bf16 are kept in double and added in an order that does not depend on the
// number of threads. LibTorch's kernel for channels_last fp32 adds in float along all of N, H and W: on large
// maps its statistics are some 50 times less exact than those of its contiguous kernel, which shows in the
// losses of the first iterations. For fp64 all is LibTorch's: it is for comparisons with it, and training
// drifts apart by whatever sums round otherwise.
Statistics statistics_of(const at::Tensor& x, const BatchNorm& norm);

at::Tensor normalised(const at::Tensor& x, const BatchNorm& norm, const Statistics& statistics);

struct NormGradients {
  at::Tensor x, weight, bias;
};
struct NormNeeds {
  bool x = true, weight = true, bias = true;
};
// `gradient` in channels_last. Only what is asked for is returned. `is_own`: nobody else holds the gradient;
// for fp32, fp16 and bf16 on the CPU the one of x takes over its memory then.
NormGradients normalise_backward(const at::Tensor& gradient, bool is_own, const at::Tensor& x,
                                 const BatchNorm& norm, const Statistics& statistics, NormNeeds needs);

}  // namespace yolodist::ops
