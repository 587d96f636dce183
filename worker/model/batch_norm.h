// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "worker/model/state_dict.h"

namespace yolodist::model {

// Source: ultralytics/yolov5 v7.0 utils/torch_utils.py, initialize_weights.
constexpr double bn_eps = 1e-3;
constexpr double bn_momentum = 0.03;

// Where each batch norm's channels lie in one flat row of statistics, in state dict order.
struct BatchNormTable {
  struct Place {
    int index = 0;       // which batch norm
    int64_t offset = 0;  // first channel in the row
    int64_t channels = 0;
  };
  explicit BatchNormTable(const std::vector<model_spec::StateEntry>& entries);

  std::unordered_map<std::string, Place> places;  // by "model.2.cv1.bn"
  std::vector<std::string> names;                 // by index
  int64_t channel_count = 0;                      // of all batch norms together
};

// The statistics that one forward over one BN group measured: batch mean and unbiased batch variance a
// channel, and how many values a channel had. forward() fills it; running statistics are not touched by a
// forward.
struct BatchNormRecord {
  // `options`: dtype and device of the model.
  BatchNormRecord(const BatchNormTable& table, const at::TensorOptions& options);

  at::Tensor mean, variance;         // [channel_count]
  std::vector<int64_t> value_count;  // a batch norm
};

// One group's statistics as a row of doubles: [means | variances | value counts], to be gathered from all
// ranks.
std::vector<double> to_row(const BatchNormRecord& record);
size_t row_length(const BatchNormTable& table);

// Moves the running statistics once, by the statistics of all groups of the iteration pooled with their
// counts: exactly the batch statistics that one forward over the whole global batch would have reported had
// it normalised group by group. With one row this is the official update. `rows` are in the order of the
// groups.
void update_running_statistics(const StateDict& state, const BatchNormTable& table,
                               const std::vector<std::vector<double>>& rows);

}  // namespace yolodist::model
