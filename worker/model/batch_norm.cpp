// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/model/batch_norm.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_copy.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <algorithm>

#include "common/base/error.h"

namespace yolodist::model {

using Role = model_spec::StateEntry::Role;

BatchNormTable::BatchNormTable(const std::vector<model_spec::StateEntry>& entries) {
  const std::string suffix = ".running_mean";
  for (const auto& entry : entries) {
    if (entry.role == Role::bn_mean) {
      const std::string name = entry.name.substr(0, entry.name.size() - suffix.size());
      places[name] = {static_cast<int>(names.size()), channel_count, entry.shape.at(0)};
      names.push_back(name);
      channel_count += entry.shape.at(0);
    }
  }
}

BatchNormRecord::BatchNormRecord(const BatchNormTable& table, const at::TensorOptions& options)
    : mean(at::zeros({table.channel_count}, options)),
      variance(at::zeros({table.channel_count}, options)),
      value_count(table.names.size(), 0) {}

size_t row_length(const BatchNormTable& table) {
  return static_cast<size_t>(table.channel_count) * 2 + table.names.size();
}

std::vector<double> to_row(const BatchNormRecord& record) {
  const at::Tensor values = at::cat({record.mean, record.variance}).to(at::kCPU, at::kDouble);
  std::vector<double> row(values.const_data_ptr<double>(), values.const_data_ptr<double>() + values.numel());
  row.insert(row.end(), record.value_count.begin(), record.value_count.end());
  return row;
}

namespace {

// Mean and unbiased variance of the union of groups, each given by mean, unbiased variance and count.
struct Pooled {
  double mean = 0, variance = 0;
};

Pooled pool(const std::vector<std::vector<double>>& rows, size_t mean_at, size_t variance_at,
            size_t count_at) {
  if (rows.size() == 1 && rows[0][count_at] > 1) {
    return {rows[0][mean_at], rows[0][variance_at]};
  }
  double total = 0, mean = 0, squares = 0;
  for (const auto& row : rows) {
    total += row[count_at];
    mean += row[count_at] * row[mean_at];
  }
  mean /= total;
  for (const auto& row : rows) {
    const double count = row[count_at], shift = row[mean_at] - mean;
    // A group with one value a channel has no variance of its own (0/0).
    squares += (count > 1 ? row[variance_at] * (count - 1) : 0.0) + count * shift * shift;
  }
  return {mean, squares / std::max(total - 1, 1.0)};
}

// The means of all channels of all groups together, then the unbiased variances: fp64 [2 * channel_count].
at::Tensor pooled_statistics(const BatchNormTable& table, const std::vector<std::vector<double>>& rows) {
  const size_t channels = static_cast<size_t>(table.channel_count);
  const at::Tensor result = at::empty({2 * table.channel_count}, at::kDouble);
  double* values = result.mutable_data_ptr<double>();
  for (const std::string& name : table.names) {
    const auto& place = table.places.at(name);
    for (int64_t c = 0; c < place.channels; ++c) {
      const size_t at_channel = static_cast<size_t>(place.offset + c);
      const Pooled pooled =
          pool(rows, at_channel, channels + at_channel, 2 * channels + static_cast<size_t>(place.index));
      values[at_channel] = pooled.mean;
      values[channels + at_channel] = pooled.variance;
    }
  }
  return result;
}

}  // namespace

// All layers at once: a card would take longer to be told of each than to compute.
void update_running_statistics(const StateDict& state, const BatchNormTable& table,
                               const std::vector<std::vector<double>>& rows) {
  check(!rows.empty(), "batch norm statistics of at least one group");
  const c10::NoGradGuard no_grad;
  std::vector<at::Tensor> running, counts;
  std::vector<int64_t> sizes;
  for (const char* which : {".running_mean", ".running_var"}) {
    for (const std::string& name : table.names) {
      running.push_back(state.at(name + which));
      sizes.push_back(running.back().numel());
    }
  }
  for (const std::string& name : table.names) {
    counts.push_back(state.at(name + ".num_batches_tracked"));
  }
  at::Tensor pooled = pooled_statistics(table, rows);
  if (!running.front().is_cpu()) {
    pooled = pooled.pin_memory().to(running.front().device(), /*non_blocking=*/true);
  }
  // running <- (1 - m) running + m batch, in double.
  const at::Tensor moved =
      at::cat(running).to(at::kDouble).mul_(1 - bn_momentum).add_(pooled.mul_(bn_momentum));
  at::_foreach_copy_(running, moved.split_with_sizes(sizes));
  at::_foreach_add_(counts, 1);
}

}  // namespace yolodist::model
