// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

namespace yolodist::loss {

// Complete IoU of n pairs of boxes given as rows x, y, w, h (centre and size): [n]. Differentiable in both.
// Source: ultralytics/yolov5 v7.0 utils/metrics.py, bbox_iou with CIoU, eps 1e-7.
at::Tensor complete_iou(const at::Tensor& predicted, const at::Tensor& target);

}  // namespace yolodist::loss
