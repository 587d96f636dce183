// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "tests/golden/tensors.h"
#include "worker/model/model.h"

namespace yolodist::golden {
namespace {

// In double. About a hundred layers lie between input and output, each a sum of up to some thousand products;
// batch norm over 2 to 8 values (the coarsest level) magnifies what rounding leaves.
constexpr double output_tolerance = 1e-11;
constexpr double gradient_tolerance =
    1e-8;  // of the gradient's norm: the longest way, twice through each layer

class GoldenForward : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override { at::set_num_threads(1); }
};

model_spec::ModelSpec spec_of(const nlohmann::json& file) {
  if (file.contains("yaml")) {
    return model_spec::parse_model_spec(file.at("yaml"), "forward_blocks.json");
  }
  return shipped_spec(file.at("model"), file.at("nc"));
}

void expect_sums(const nlohmann::json& expected, const at::Tensor& tensor, double tolerance,
                 const std::string& what) {
  const auto [sum, squares] = sums_of(tensor);
  const double norm = std::sqrt(expected.at(1).get<double>()), count = static_cast<double>(tensor.numel());
  // A bias whose shift the next batch norm takes away has no gradient but rounding: 1e-14 was seen.
  const double off = std::max(tolerance * norm, 1e-12);
  // A sum of n elements, each off by off / sqrt(n), is off by at most off * sqrt(n).
  EXPECT_NEAR(sum, expected.at(0).get<double>(), off * std::sqrt(count)) << what;
  EXPECT_NEAR(std::sqrt(squares), norm, off) << what;
}

void expect_evaluation(const nlohmann::json& file, const model::Model& model, const at::Tensor& images) {
  const c10::NoGradGuard no_grad;
  const at::Tensor decoded = model::decode(model, model::forward(model, images, nullptr));
  expect_summary(summary_from_json(file.at("eval")), values_of(decoded), output_tolerance, "decoded");
}

// Forward in train mode and backward of the scalar; the gradients are in the model's parameters then.
void expect_training(const nlohmann::json& file, model::Model& model, const at::Tensor& images) {
  for (size_t i = 0; i < model.state.size(); ++i) {
    model.state[i].requires_grad_(model.state.entries()[i].is_parameter());
  }
  model::BatchNormRecord record(model.batch_norms, at::kDouble);
  const std::vector<at::Tensor> raw = model::forward(model, images, &record);
  ASSERT_EQ(raw.size(), file.at("train").size());
  at::Tensor scalar;
  for (size_t level = 0; level < raw.size(); ++level) {
    expect_summary(summary_from_json(file.at("train").at(level)), values_of(raw[level]), output_tolerance,
                   "level " + std::to_string(level));
    const at::Tensor term =
        (raw[level] * formula_tensor(2 + level, raw[level].sizes().vec(), at::kDouble, 1, 0.5)).sum();
    scalar = scalar.defined() ? scalar + term : term;
  }
  expect_relative(scalar.item<double>(), file.at("scalar"), 1e-10, "scalar");
  scalar.backward();
  const c10::NoGradGuard no_grad;
  model::update_running_statistics(model.state, model.batch_norms, {model::to_row(record)});
}

TEST_P(GoldenForward, IsThePeersInBothModesWithItsGradients) {
  const nlohmann::json file = load(GetParam());
  model::Model model = formula_model(spec_of(file), at::kDouble);
  const std::array<double, 4> weights = whole(model.state);
  for (size_t i = 0; i < weights.size(); ++i) {
    expect_relative(weights[i], file.at("weights").at(i), 1e-9, "weights");
  }
  const at::Tensor images =
      formula_tensor(1, {file.at("batch"), 3, file.at("height"), file.at("width")}, at::kDouble);
  expect_evaluation(file, model, images);
  expect_training(file, model, images);
  size_t gradients = 0, statistics = 0;
  for (size_t i = 0; i < model.state.size(); ++i) {
    const model_spec::StateEntry& entry = model.state.entries()[i];
    if (entry.is_parameter()) {
      expect_sums(file.at("gradients").at(entry.name), model.state[i].grad(), gradient_tolerance, entry.name);
      ++gradients;
    } else if (file.at("running").contains(entry.name)) {
      expect_sums(file.at("running").at(entry.name), model.state[i], output_tolerance, entry.name);
      ++statistics;
    } else if (entry.role == model_spec::StateEntry::Role::bn_count) {
      EXPECT_EQ(model.state[i].item<int64_t>(), 1) << entry.name;
    }
  }
  EXPECT_EQ(gradients, file.at("gradients").size());
  EXPECT_EQ(statistics, file.at("running").size());
}

INSTANTIATE_TEST_SUITE_P(Networks, GoldenForward,
                         ::testing::Values("forward_n", "forward_n_96x64", "forward_n6", "forward_blocks"),
                         [](const auto& network) { return std::string(network.param); });

}  // namespace
}  // namespace yolodist::golden
