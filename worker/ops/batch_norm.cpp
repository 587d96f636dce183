// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/ops/batch_norm.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/native_batch_norm.h>
#include <ATen/ops/native_batch_norm_backward.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "common/base/error.h"

namespace yolodist::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Adds rows of `channels` values to the sums and the sums of squares. (AVX2 where the processor has it.)
__attribute__((target_clones("avx2", "default"))) void add_rows(const float* values, int64_t rows,
                                                                int64_t channels, double* sums,
                                                                double* squares) {
  for (int64_t row = 0; row < rows; ++row, values += channels) {
    for (int64_t c = 0; c < channels; ++c) {
      const double value = values[c];
      sums[c] += value;
      squares[c] += value * value;
    }
  }
}

struct Moments {
  std::vector<double> mean, squares;  // squares: sum of squared deviations
  int64_t count = 0;
};

Moments moments_of(const at::Tensor& x) {
  constexpr int64_t most_blocks = 64,
                    least_rows = 256;  // fixed, so that threads do not change the order of sums
  const int64_t channels = x.size(1), rows = x.numel() / channels;
  const int64_t blocks = std::clamp<int64_t>(rows / least_rows, 1, most_blocks);
  const float* values = x.const_data_ptr<float>();
  std::vector<double> partial(static_cast<size_t>(blocks * 2 * channels), 0.0);
  at::parallel_for(0, blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      const int64_t first = rows * block / blocks, last = rows * (block + 1) / blocks;
      double* sums = partial.data() + block * 2 * channels;
      add_rows(values + first * channels, last - first, channels, sums, sums + channels);
    }
  });
  Moments moments{std::vector<double>(static_cast<size_t>(channels), 0.0),
                  std::vector<double>(static_cast<size_t>(channels), 0.0), rows};
  for (int64_t block = 0; block < blocks; ++block) {
    const double* sums = partial.data() + block * 2 * channels;
    for (int64_t c = 0; c < channels; ++c) {
      moments.mean[static_cast<size_t>(c)] += sums[c];
      moments.squares[static_cast<size_t>(c)] += sums[channels + c];
    }
  }
  for (size_t c = 0; c < moments.mean.size(); ++c) {
    moments.mean[c] /= static_cast<double>(rows);
    moments.squares[c] =
        std::max(moments.squares[c] - static_cast<double>(rows) * moments.mean[c] * moments.mean[c], 0.0);
  }
  return moments;
}

class BatchNorm : public torch::autograd::Function<BatchNorm> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& bias, const at::Tensor& batch_mean,
                            const at::Tensor& batch_variance, double eps) {
    const Moments moments = moments_of(x);
    const at::Tensor mean = at::empty({x.size(1)}, x.options());
    const at::Tensor variance = at::empty({x.size(1)}, x.options());  // of the batch, biased: what normalises
    const at::Tensor inverse_deviation = at::empty({x.size(1)}, x.options());
    const double count = static_cast<double>(moments.count);
    for (int64_t c = 0; c < x.size(1); ++c) {
      const double squares = moments.squares[static_cast<size_t>(c)];
      mean.mutable_data_ptr<float>()[c] = static_cast<float>(moments.mean[static_cast<size_t>(c)]);
      variance.mutable_data_ptr<float>()[c] = static_cast<float>(squares / count);
      inverse_deviation.mutable_data_ptr<float>()[c] =
          static_cast<float>(1 / std::sqrt(squares / count + eps));
      batch_mean.mutable_data_ptr<float>()[c] = static_cast<float>(moments.mean[static_cast<size_t>(c)]);
      batch_variance.mutable_data_ptr<float>()[c] = static_cast<float>(squares / std::max(count - 1, 1.0));
    }
    context->save_for_backward({x, weight, mean, inverse_deviation});
    context->saved_data["eps"] = eps;
    return std::get<0>(at::native_batch_norm(x, weight, bias, mean, variance, /*training=*/false, 0.0, eps));
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const auto [dx, dweight, dbias] = at::native_batch_norm_backward(
        gradients[0].contiguous(at::MemoryFormat::ChannelsLast), saved[0], saved[1], {}, {}, saved[2],
        saved[3],
        /*train=*/true, context->saved_data["eps"].toDouble(), {true, true, true});
    return {dx, dweight, dbias, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor batch_norm_with_double_sums(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                                       const at::Tensor& batch_mean, const at::Tensor& batch_variance,
                                       double eps) {
  check(x.is_cpu() && x.scalar_type() == at::kFloat && x.is_contiguous(at::MemoryFormat::ChannelsLast),
        "x is fp32, channels_last, on the CPU");
  return BatchNorm::apply(x, weight, bias, batch_mean, batch_variance, eps);
}

}  // namespace yolodist::ops
