// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "common/model_spec/model_spec.h"
#include "common/plan/recompute.h"
#include "worker/model/batch_norm.h"
#include "worker/model/state_dict.h"

namespace yolodist::model {

// A layer table and the tensors that fill it. A plain value; copies share the tensors.
struct Model {
  // `dtype`: of parameters and buffers. `compute`: of pictures and activations, in which convolutions are
  // computed, if it is another; then each forward casts the weights.
  Model(model_spec::ModelSpec spec, at::ScalarType dtype, std::optional<at::ScalarType> compute = {});
  // Another set of tensors for the same table (EMA), computed in the same dtype.
  Model(const Model& like, StateDict state);

  model_spec::ModelSpec spec;
  StateDict state;
  BatchNormTable batch_norms;
  std::vector<std::string> detect_convs;  // a level: "model.24.m.0"
  at::ScalarType dtype() const { return dtype_; }
  at::ScalarType compute_dtype() const { return compute_; }
  // Moves every tensor; before anything holds on to them.
  void to(at::Device device);

 private:
  at::ScalarType dtype_, compute_;
};

// Raw head outputs, one a level: [N, A, G_y, G_x, K + 5], in the dtype of the parameters, not decoded.
// images: [N, 3, H, W], values 0 to 1, H and W multiples of the largest stride; cast to the dtype that the
// model computes in; let go of after its last use, if the caller does. With `record` batch norm uses batch
// statistics and stores them there (training); without, running statistics. recompute: what each layer keeps
// for backward, by layer index; empty = none gives anything up. Outputs, gradients and the record are the
// same to the bit whatever it says. The model outlives the backward of what it returns.
std::vector<at::Tensor> forward(const Model& model, at::Tensor images, BatchNormRecord* record,
                                const plan::RecomputePlan& recompute = {});

// Boxes in input pixels and scores: [N, sum(A * G_y * G_x), K + 5] as x, y, w, h, objectness, classes.
// Source: ultralytics/yolov5 v7.0 models/yolo.py, Detect.forward.
at::Tensor decode(const Model& model, const std::vector<at::Tensor>& raw);

// Anchors of each level in grid units, as fp32: [level][anchor]{w, h}.
std::vector<std::vector<std::array<float, 2>>> grid_anchors(const Model& model);

}  // namespace yolodist::model
