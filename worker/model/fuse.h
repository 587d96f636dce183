// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "worker/model/model.h"

namespace yolodist::model {

// The model for inference alone: each convolution takes over what its batch norm does with the running
// statistics, weight * gamma / sqrt(var + eps) and bias beta - gamma * mean / sqrt(var + eps), in double. Its
// state has model.0.conv.bias where the batch norm was; a batch norm that follows no single convolution
// (BottleneckCSP) stays. forward() takes the result with no record only; it gives the same outputs up to
// rounding. Source: ultralytics/yolov5 v7.0 utils/torch_utils.py, fuse_conv_and_bn.
Model fused(const Model& model);

}  // namespace yolodist::model
