// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "common/model_spec/model_spec.h"
#include "worker/model/batch_norm.h"
#include "worker/model/state_dict.h"

namespace yolodist::model {

// A layer table and the tensors that fill it. A plain value; copies share the tensors.
struct Model {
  Model(model_spec::ModelSpec spec, at::ScalarType dtype);
  // Another set of tensors for the same table (EMA).
  Model(const Model& like, StateDict state);

  model_spec::ModelSpec spec;
  StateDict state;
  BatchNormTable batch_norms;
  at::ScalarType dtype() const { return dtype_; }
  // Moves every tensor; before anything holds on to them.
  void to(at::Device device);

 private:
  at::ScalarType dtype_;
};

// Raw head outputs, one a level: [N, A, G_y, G_x, K + 5], in the model's dtype, not decoded.
// images: [N, 3, H, W] in the model's dtype, values 0 to 1, H and W multiples of the largest stride.
// With `record` batch norm uses batch statistics and stores them there (training); without, running
// statistics.
std::vector<at::Tensor> forward(const Model& model, const at::Tensor& images, BatchNormRecord* record);

// Boxes in input pixels and scores: [N, sum(A * G_y * G_x), K + 5] as x, y, w, h, objectness, classes.
// Source: ultralytics/yolov5 v7.0 models/yolo.py, Detect.forward.
at::Tensor decode(const Model& model, const std::vector<at::Tensor>& raw);

// Anchors of each level in grid units, as fp32: [level][anchor]{w, h}.
std::vector<std::vector<std::array<float, 2>>> grid_anchors(const Model& model);

}  // namespace yolodist::model
