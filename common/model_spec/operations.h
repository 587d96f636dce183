// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "common/model_spec/model_spec.h"

namespace yolodist::model_spec {

// A feature map that a forward makes, for one picture.
struct TensorShape {
  int channels = 0, height = 0, width = 0;
  int64_t elements() const { return int64_t{channels} * height * width; }
};

// One operation of a forward, in the order in which the worker runs them.
struct Operation {
  enum class Kind {
    conv,       // convolution, and batch norm and activation as `conv` says
    normalise,  // batch norm and activation alone (BottleneckCSP)
    add,        // of a shortcut
    concat,
    upsample,
    max_pool,        // its indices are int64
    space_to_depth,  // Focus: four quarters, concatenated
    detect,          // a level of Detect: convolution with bias
  } kind = Kind::conv;
  int layer = 0;
  const ConvSpec* conv = nullptr;  // of `conv`: in the layer table
  std::vector<int> inputs;         // tensors
  int output = 0;                  // a tensor
};

// The layer table as operations on tensors, for pictures of one size. What backward has to keep follows from
// it and from a policy (common/plan).
struct OperationTable {
  std::vector<TensorShape> tensors;  // 0 is the network's input
  std::vector<Operation> operations;
  std::vector<int> output_of_layer;  // the tensor that a layer hands on; -1 for Detect
};

// `spec` has to outlive the result, which points to its convolutions. Sides are multiples of the largest
// stride.
OperationTable operations_of(const ModelSpec& spec, int height_px, int width_px);

}  // namespace yolodist::model_spec
