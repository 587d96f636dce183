// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <vector>

#include "common/model_spec/model_spec.h"
#include "worker/model/batch_norm.h"
#include "worker/model/state_dict.h"

namespace yolodist::model {

// How a consumer can rebuild a tensor during backward instead of keeping it.
struct Recipe;

// What blocks hand to each other. `from` is empty when the value itself is kept.
struct Activation {
  at::Tensor value;
  std::shared_ptr<const Recipe> from;
};

// One forward pass: whose tensors, and which statistics normalise.
struct Pass {
  const StateDict& state;
  const std::string& activation;          // ModelSpec::activation
  const BatchNormTable* table = nullptr;  // with `record`: normalise by the batch and record its statistics
  BatchNormRecord* record = nullptr;      // null: normalise by the running statistics
  int layer_index = -1;                   // the layer that runs, for reports
  const model_spec::LayerSpec* layer = nullptr;  // the same, while its block runs
};

// Runs one layer of the table on its sources' outputs (Detect excepted).
Activation run_block(Pass& pass, const model_spec::LayerSpec& layer, const std::vector<Activation>& inputs);

}  // namespace yolodist::model
