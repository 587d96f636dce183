// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "tests/golden/tensors.h"

#include <stdlib.h>

#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <cmath>

#include "worker/model/initialise.h"

namespace yolodist::golden {
namespace {

// Labels are float32 in every precision, and MKL's arc tangent of a float differs in its last bit from
// processor to processor, which a comparison in float64 sees. Golden files hold for MKL's path for all
// processors; it looks at this when it is first called.
[[maybe_unused]] const int asks_mkl_for_one_path = setenv("MKL_CBWR", "COMPATIBLE", /*overwrite=*/0);

}  // namespace

at::Tensor formula_tensor(uint64_t stream, const std::vector<int64_t>& shape, at::ScalarType dtype,
                          double scale, double shift) {
  size_t count = 1;
  for (const int64_t side : shape) {
    count *= static_cast<size_t>(side);
  }
  std::vector<double> values = uniforms(stream, count);
  for (double& value : values) {
    value = scale * (value - shift);
  }
  return at::tensor(values, at::kDouble).view(shape).to(dtype);
}

std::vector<double> values_of(const at::Tensor& tensor) {
  const at::Tensor flat = tensor.detach().to(at::kDouble).contiguous();
  return {flat.const_data_ptr<double>(), flat.const_data_ptr<double>() + flat.numel()};
}

std::array<double, 2> sums_of(const at::Tensor& tensor) {
  std::array<double, 2> sums{};
  for (const double value : values_of(tensor)) {
    sums[0] += value;
    sums[1] += value * value;
  }
  return sums;
}

std::array<double, 4> whole(const model::StateDict& state) {
  using Role = model_spec::StateEntry::Role;
  std::array<double, 4> sums{};
  for (size_t i = 0; i < state.size(); ++i) {
    const model_spec::StateEntry& entry = state.entries()[i];
    if (!entry.is_parameter() && entry.role != Role::bn_mean && entry.role != Role::bn_var) {
      continue;
    }
    const size_t at = entry.is_parameter() ? 0 : 2;
    const auto [sum, squares] = sums_of(state[i]);
    sums[at] += sum;
    sums[at + 1] += squares;
  }
  return sums;
}

model::Model formula_model(model_spec::ModelSpec spec, at::ScalarType dtype) {
  const c10::NoGradGuard no_grad;
  model::Model model(std::move(spec), dtype);
  model::initialise(model, 0);  // for the anchors
  const auto& entries = model.state.entries();
  for (size_t i = 0; i < entries.size(); ++i) {
    if (entries[i].role != model_spec::StateEntry::Role::anchors) {
      const at::Tensor values = at::tensor(formula_entry(entries[i], i), at::kDouble);
      model.state[i].copy_(values.view(model.state[i].sizes()));
    }
  }
  return model;
}

model_spec::ModelSpec shipped_spec(const std::string& name, int class_count) {
  return model_spec::read_model_spec(
      std::filesystem::path(YOLODIST_SOURCE_DIR) / "share/yolodist/models" / (name + ".yaml"), class_count);
}

std::vector<loss::BatchTarget> targets_from(const nlohmann::json& rows) {
  std::vector<loss::BatchTarget> targets;
  for (const nlohmann::json& row : rows) {
    const auto number = [&row](size_t column) { return static_cast<float>(row.at(column).get<double>()); };
    targets.push_back({static_cast<int64_t>(number(0)), static_cast<int64_t>(number(1)), number(2), number(3),
                       number(4), number(5)});
  }
  return targets;
}

loss::GridAnchors grid_anchors_from(const nlohmann::json& anchors_px, const std::vector<int>& strides_px) {
  loss::GridAnchors anchors;
  for (size_t level = 0; level < anchors_px.size(); ++level) {
    const auto sides = anchors_px.at(level).get<std::vector<float>>();
    const auto stride = static_cast<float>(strides_px.at(level));
    anchors.emplace_back();
    for (size_t a = 0; a + 1 < sides.size(); a += 2) {
      anchors.back().push_back({sides[a] / stride, sides[a + 1] / stride});
    }
  }
  return anchors;
}

void expect_relative(double actual, double expected, double tolerance, const std::string& what) {
  EXPECT_NEAR(actual, expected, tolerance * std::abs(expected)) << what;
}

}  // namespace yolodist::golden
