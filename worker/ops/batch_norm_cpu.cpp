// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/ops/batch_norm_cpu.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "common/base/error.h"

// The loops over rows exist for AVX2 too, and the processor picks.
#define YOLODIST_ROW_LOOP __attribute__((target_clones("avx2", "default"))) void

namespace yolodist::ops {
namespace {

// Adds the values of rows to `sums`, and their squares to `squares`.
template <typename T>
YOLODIST_ROW_LOOP add_rows(const T* __restrict x, int64_t rows, int64_t channels, double* __restrict sums,
                           double* __restrict squares) {
  for (int64_t row = 0; row < rows; ++row, x += channels) {
    for (int64_t c = 0; c < channels; ++c) {
      const double value = static_cast<float>(x[c]);
      sums[c] += value;
      squares[c] += value * value;
    }
  }
}

// Adds gradients to `sums`, and their products with x - mean to `products`.
template <typename T>
YOLODIST_ROW_LOOP add_products(const T* __restrict gradient, const T* __restrict x,
                               const double* __restrict mean, int64_t rows, int64_t channels,
                               double* __restrict sums, double* __restrict products) {
  for (int64_t row = 0; row < rows; ++row, gradient += channels, x += channels) {
    for (int64_t c = 0; c < channels; ++c) {
      const double value = static_cast<float>(gradient[c]);
      sums[c] += value;
      products[c] += value * (static_cast<double>(static_cast<float>(x[c])) - mean[c]);
    }
  }
}

// A channel's gradient of x is scale * (gradient - shift - slope * (x - mean)).
struct Coefficients {
  std::vector<float> mean, shift, slope, scale;
};

// `gradient` and `dx` may be the same.
template <typename T>
YOLODIST_ROW_LOOP write_rows(const T* gradient, const T* __restrict x, const float* __restrict mean,
                             const float* __restrict shift, const float* __restrict slope,
                             const float* __restrict scale, int64_t rows, int64_t channels, T* dx) {
  for (int64_t row = 0; row < rows; ++row, gradient += channels, x += channels, dx += channels) {
#pragma GCC ivdep
    for (int64_t c = 0; c < channels; ++c) {
      const float deviation = static_cast<float>(x[c]) - mean[c];
      dx[c] = static_cast<T>((static_cast<float>(gradient[c]) - shift[c] - slope[c] * deviation) * scale[c]);
    }
  }
}

// Calls add(first row, rows, sums, products) for blocks of rows, each with sums of its own, and returns their
// total: [sums | products].
template <typename Add>
std::vector<double> total_of_blocks(int64_t rows, int64_t channels, const Add& add) {
  constexpr int64_t most_blocks = 64,
                    least_rows = 256;  // fixed, so that threads do not change the order of sums
  const int64_t blocks = std::clamp<int64_t>(rows / least_rows, 1, most_blocks);
  std::vector<double> partial(static_cast<size_t>(blocks * 2 * channels), 0.0);
  at::parallel_for(0, blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      const int64_t first = rows * block / blocks, last = rows * (block + 1) / blocks;
      double* sums = partial.data() + block * 2 * channels;
      add(first, last - first, sums, sums + channels);
    }
  });
  std::vector<double> total(static_cast<size_t>(2 * channels), 0.0);
  for (int64_t block = 0; block < blocks; ++block) {
    const double* sums = partial.data() + block * 2 * channels;
    std::transform(total.begin(), total.end(), sums, total.begin(), std::plus<>());
  }
  return total;
}

struct Moments {
  std::vector<double> mean, squares;  // squares: sum of squared deviations
  int64_t count = 0;
};

template <typename T>
Moments moments_of(const at::Tensor& x) {
  const int64_t channels = x.size(1), rows = x.numel() / channels;
  const T* values = x.const_data_ptr<T>();
  const std::vector<double> total =
      total_of_blocks(rows, channels, [=](int64_t first, int64_t count, double* sums, double* squares) {
        add_rows(values + first * channels, count, channels, sums, squares);
      });
  Moments moments{{total.begin(), total.begin() + channels}, {total.begin() + channels, total.end()}, rows};
  const double count = static_cast<double>(rows);
  for (size_t c = 0; c < moments.mean.size(); ++c) {
    moments.mean[c] /= count;
    moments.squares[c] = std::max(moments.squares[c] - count * moments.mean[c] * moments.mean[c], 0.0);
  }
  return moments;
}

void write(const at::Tensor& to, const std::vector<double>& values, double divisor = 1) {
  check(to.is_contiguous() && to.numel() == static_cast<int64_t>(values.size()),
        "statistics are a value a channel");
  float* place = to.mutable_data_ptr<float>();
  for (const double value : values) {
    *place++ = static_cast<float>(value / divisor);
  }
}

std::vector<double> read(const at::Tensor& from) {
  const at::Tensor values = from.contiguous();
  return {values.const_data_ptr<float>(), values.const_data_ptr<float>() + values.numel()};
}

std::vector<double> inverse_deviation_of(const BatchNorm& norm, const Statistics& statistics) {
  if (statistics.inverse_deviation.defined()) {
    return read(statistics.inverse_deviation);
  }
  std::vector<double> values = read(statistics.variance);
  for (double& value : values) {
    value = 1 / std::sqrt(value + norm.eps);
  }
  return values;
}

template <typename T>
std::vector<double> sums_and_products(const at::Tensor& gradient, const at::Tensor& x,
                                      const std::vector<double>& mean) {
  const int64_t channels = x.size(1), rows = x.numel() / channels;
  const T* gradients = gradient.const_data_ptr<T>();
  const T* values = x.const_data_ptr<T>();
  return total_of_blocks(rows, channels, [&](int64_t first, int64_t count, double* sums, double* products) {
    const int64_t offset = first * channels;
    add_products(gradients + offset, values + offset, mean.data(), count, channels, sums, products);
  });
}

template <typename T>
void write_gradient_of_x(const at::Tensor& gradient, const at::Tensor& x, const Coefficients& k,
                         const at::Tensor& dx) {
  constexpr int64_t least_values = 32768;  // below it threads cost more than they bring
  const int64_t channels = x.size(1), rows = x.numel() / channels;
  const T* gradients = gradient.const_data_ptr<T>();
  const T* values = x.const_data_ptr<T>();
  T* results = dx.mutable_data_ptr<T>();
  at::parallel_for(0, rows, std::max<int64_t>(least_values / channels, 1), [&](int64_t begin, int64_t end) {
    const int64_t offset = begin * channels;
    write_rows(gradients + offset, values + offset, k.mean.data(), k.shift.data(), k.slope.data(),
               k.scale.data(), end - begin, channels, results + offset);
  });
}

// Calls f with a value of the type that x is made of; one that sums_in_double takes.
template <typename F>
auto with_type_of(const at::Tensor& x, const F& f) {
  switch (x.scalar_type()) {
    case at::kBFloat16:
      return f(c10::BFloat16());
    case at::kHalf:
      return f(c10::Half());
    default:
      return f(float());
  }
}

}  // namespace

bool sums_in_double(const at::Tensor& x) {
  const at::ScalarType type = x.scalar_type();
  return x.is_cpu() && (type == at::kFloat || type == at::kBFloat16 || type == at::kHalf);
}

at::Tensor measured_in_double(const at::Tensor& x, const BatchNorm& norm) {
  check(norm.weight.scalar_type() == at::kFloat, "batch norm's parameters are fp32");
  Moments moments = with_type_of(x, [&](auto type) { return moments_of<decltype(type)>(x); });
  const double count = static_cast<double>(moments.count);
  const at::Tensor rows = at::empty({3, x.size(1)}, norm.weight.options());
  write(rows[0], moments.mean);
  write(rows[1], moments.squares, count);
  if (norm.batch_mean.defined()) {
    write(norm.batch_mean, moments.mean);
    write(norm.batch_variance, moments.squares, std::max(count - 1, 1.0));
  }
  for (double& square : moments.squares) {
    square = 1 / std::sqrt(square / count + norm.eps);
  }
  write(rows[2], moments.squares);
  return rows;
}

NormGradients backward_in_double(const at::Tensor& gradient, bool is_own, const at::Tensor& x,
                                 const BatchNorm& norm, const Statistics& statistics, NormNeeds needs) {
  check(gradient.is_contiguous(at::MemoryFormat::ChannelsLast) &&
            x.is_contiguous(at::MemoryFormat::ChannelsLast) && gradient.scalar_type() == x.scalar_type(),
        "a batch norm's gradient is as its input");
  const std::vector<double> mean = read(statistics.mean), gamma = read(norm.weight),
                            inverse = inverse_deviation_of(norm, statistics);
  const std::vector<double> total =
      with_type_of(x, [&](auto type) { return sums_and_products<decltype(type)>(gradient, x, mean); });
  const std::vector<double> sums(total.begin(), total.begin() + x.size(1));
  std::vector<double> products(total.begin() + x.size(1), total.end());
  // Running statistics are constants: they pass no gradient on.
  const bool of_batch = statistics.inverse_deviation.defined();
  const double part = of_batch ? static_cast<double>(x.size(1)) / static_cast<double>(x.numel()) : 0.0;
  Coefficients k;
  for (size_t c = 0; c < products.size(); ++c) {
    k.mean.push_back(static_cast<float>(mean[c]));
    k.shift.push_back(static_cast<float>(sums[c] * part));
    k.slope.push_back(static_cast<float>(products[c] * part * inverse[c] * inverse[c]));
    k.scale.push_back(static_cast<float>(gamma[c] * inverse[c]));
    products[c] *= inverse[c];
  }
  NormGradients results;
  if (needs.weight) {
    results.weight = at::empty({x.size(1)}, norm.weight.options());
    write(results.weight, products);
  }
  if (needs.bias) {
    results.bias = at::empty({x.size(1)}, norm.bias.options());
    write(results.bias, sums);
  }
  if (needs.x) {
    results.x = is_own ? gradient : at::empty_like(gradient);
    with_type_of(x, [&](auto type) { write_gradient_of_x<decltype(type)>(gradient, x, k, results.x); });
  }
  return results;
}

}  // namespace yolodist::ops
