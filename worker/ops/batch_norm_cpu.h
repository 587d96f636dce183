// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include "worker/ops/batch_norm.h"

// Kernels of batch_norm.h for fp32 and bf16 on the CPU, whose remarks on sums and layouts hold here.
namespace yolodist::ops {

// Whether these kernels are for x.
bool sums_in_double(const at::Tensor& x);

// [3, C]: mean, biased variance, 1/deviation; the record is written if the batch norm has one.
at::Tensor measured_in_double(const at::Tensor& x, const BatchNorm& norm);

NormGradients backward_in_double(const at::Tensor& gradient, bool is_own, const at::Tensor& x,
                                 const BatchNorm& norm, const Statistics& statistics, NormNeeds needs);

}  // namespace yolodist::ops
