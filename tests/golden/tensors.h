// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <string>
#include <vector>

#include "tests/golden/golden.h"
#include "worker/loss/targets.h"
#include "worker/model/model.h"

// The golden files' numbers as tensors.
namespace yolodist::golden {

// scale * (u - shift) with u of the stream, row-major, computed in double, then cast.
at::Tensor formula_tensor(uint64_t stream, const std::vector<int64_t>& shape,
                          at::ScalarType dtype = at::kDouble, double scale = 1, double shift = 0);

// All elements in row-major order.
std::vector<double> values_of(const at::Tensor& tensor);

// Sum and sum of squares, added in double.
std::array<double, 2> sums_of(const at::Tensor& tensor);

// Sums of all parameters, then of all batch norm statistics, as `weights` and the trace have them.
std::array<double, 4> whole(const model::StateDict& state);

// A network with the formula's weights and the definition's anchors.
model::Model formula_model(model_spec::ModelSpec spec, at::ScalarType dtype);
// share/yolodist/models/NAME.yaml
model_spec::ModelSpec shipped_spec(const std::string& name, int class_count);

// Rows [image, class, x, y, w, h] as the files hold targets.
std::vector<loss::BatchTarget> targets_from(const nlohmann::json& rows);
// Rows of w,h,w,h,… in pixels over their strides, as fp32.
loss::GridAnchors grid_anchors_from(const nlohmann::json& anchors_px, const std::vector<int>& strides_px);

// |actual - expected| <= tolerance * |expected|; without a denominator for zeros.
void expect_relative(double actual, double expected, double tolerance, const std::string& what);

}  // namespace yolodist::golden
