// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/ops/batch_norm.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/batch_norm_update_stats.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/native_batch_norm.h>
#include <ATen/ops/native_batch_norm_backward.h>
#include <ATen/ops/rsqrt.h>
#include <ATen/ops/stack.h>
#include <c10/core/GradMode.h>

#include "common/base/error.h"
#include "worker/ops/batch_norm_cpu.h"

namespace yolodist::ops {
namespace {

at::Tensor measured_by_libtorch(const at::Tensor& x, const BatchNorm& norm) {
  // Momentum 1 writes the batch's mean and unbiased variance as they are.
  const auto [mean, variance] = at::batch_norm_update_stats(x, norm.batch_mean, norm.batch_variance, 1.0);
  return at::stack({mean, variance, at::rsqrt(variance + norm.eps)});
}

}  // namespace

Statistics statistics_of(const at::Tensor& x, const BatchNorm& norm) {
  if (!norm.measures) {
    return {norm.running_mean, norm.running_variance, {}};
  }
  const c10::NoGradGuard no_grad;
  check(x.is_contiguous(at::MemoryFormat::ChannelsLast), "a batch norm's input is channels_last");
  const at::Tensor rows = sums_in_double(x) ? measured_in_double(x, norm) : measured_by_libtorch(x, norm);
  return {rows[0], rows[1], rows[2]};
}

at::Tensor normalised(const at::Tensor& x, const BatchNorm& norm, const Statistics& statistics) {
  const c10::NoGradGuard no_grad;
  return std::get<0>(at::native_batch_norm(x, norm.weight, norm.bias, statistics.mean, statistics.variance,
                                           /*training=*/false, 0.0, norm.eps));
}

NormGradients normalise_backward(const at::Tensor& gradient, bool is_own, const at::Tensor& x,
                                 const BatchNorm& norm, const Statistics& statistics, NormNeeds needs) {
  const c10::NoGradGuard no_grad;
  const bool of_batch = statistics.inverse_deviation.defined();
  if (sums_in_double(x)) {
    return backward_in_double(gradient, is_own, x, norm, statistics, needs);
  }
  // On a card an empty tensor says that the running statistics count; an undefined one is a fault there.
  const at::Tensor none, empty = at::empty({0}, norm.weight.options());
  auto [dx, dweight, dbias] = at::native_batch_norm_backward(
      gradient, x, norm.weight, of_batch ? none : statistics.mean, of_batch ? none : statistics.variance,
      of_batch ? statistics.mean : empty, of_batch ? statistics.inverse_deviation : empty, /*train=*/of_batch,
      norm.eps, {needs.x, needs.weight, needs.bias});
  return {std::move(dx), std::move(dweight), std::move(dbias)};
}

}  // namespace yolodist::ops
