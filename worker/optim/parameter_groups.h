// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <string>
#include <vector>

#include "worker/model/state_dict.h"

namespace yolodist::optim {

// A parameter, with the memory of its gradient and of the optimizer's state. All have equal strides: the
// fused kernels walk raw memory.
struct Parameter {
  std::string name;
  at::Tensor value;     // leaf that requires gradients
  at::Tensor gradient;  // a view into a bucket; also value.grad()
};

// YOLOv5's three groups, in the order of the lr columns of results.csv: biases, decayed weights, batch norm
// weights. Source: ultralytics/yolov5 v7.0 utils/torch_utils.py, smart_optimizer.
constexpr size_t group_count = 3;
enum class Group : size_t { bias = 0, decayed_weight = 1, norm_weight = 2 };
Group group_of(const model_spec::StateEntry& entry);

// Which parameters stay as they are. YOLOv5's rule: one number N freezes layers 0..N-1, several exactly
// those. Source: ultralytics/yolov5 v7.0 train.py. Throws UsageError for a layer that the model does not
// have.
std::vector<bool> frozen_layers(const std::vector<int>& freeze, size_t layer_count);
int layer_of(const std::string& entry_name);  // "model.12.conv.weight" -> 12

}  // namespace yolodist::optim
