// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
// The gradient of the loss with respect to every parameter of whole networks, against the peer's.
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "common/config/hyperparameters.h"
#include "tests/golden/tensors.h"
#include "worker/loss/detection_loss.h"
#include "worker/model/initialise.h"
#include "worker/model/model.h"

namespace yolodist::golden {
namespace {

// In double, of a gradient's norm: the way goes twice through some hundred layers, and batch norm over few
// values magnifies what rounding leaves.
constexpr double gradient_tolerance = 1e-8;
constexpr double loss_tolerance = 1e-10;
constexpr uint64_t direction_stream = 5000;  // + position of the parameter among all parameters

class GoldenGradient : public ::testing::TestWithParam<size_t> {
 protected:
  void SetUp() override { at::set_num_threads(1); }
};

// Forward in train mode, loss and backward; the gradients are in the model's parameters then.
void run_backward(const nlohmann::json& test, model::Model& model) {
  for (size_t i = 0; i < model.state.size(); ++i) {
    model.state[i].requires_grad_(model.state.entries()[i].is_parameter());
  }
  const int64_t batch = test.at("batch"), side_px = test.at("imgsz");
  model::BatchNormRecord record(model.batch_norms, at::kDouble);
  const std::vector<at::Tensor> raw =
      model::forward(model, formula_tensor(1, {batch, 3, side_px, side_px}, at::kDouble), &record);
  std::vector<loss::LevelShape> shapes;
  for (const at::Tensor& level : raw) {
    shapes.push_back({level.size(2), level.size(3)});
  }
  const config::Hyperparameters hyp = config::hyperparameters_from_json(test.at("hyp"));
  const std::vector<loss::LevelMatches> matches = loss::match_targets(
      targets_from(test.at("targets")), model::grid_anchors(model), shapes, static_cast<float>(hyp.anchor_t));
  loss::Normalisers normalisers{{}, batch};
  for (const loss::LevelMatches& level : matches) {
    ASSERT_GT(level.count(), 0);
    normalisers.match_count.push_back(level.count());
  }
  const loss::GroupLoss loss = loss::detection_loss(raw, matches, normalisers, hyp);
  expect_relative(loss.total.item<double>(), test.at("total"), loss_tolerance, "total");
  expect_relative(loss.items.box, test.at("items").at(0), loss_tolerance, "box");
  expect_relative(loss.items.objectness, test.at("items").at(1), loss_tolerance, "obj");
  expect_relative(loss.items.classes, test.at("items").at(2), loss_tolerance, "cls");
  loss.total.backward();
}

// Norm, sum, and the product with a direction of its own, which elements in other places would change.
void expect_gradient(const nlohmann::json& expected, size_t position, const at::Tensor& gradient,
                     const std::string& what) {
  const std::vector<double> values = values_of(gradient);
  const std::vector<double> direction = uniforms(direction_stream + position, values.size());
  double squares = 0, sum = 0, product = 0, direction_squares = 0;
  for (size_t k = 0; k < values.size(); ++k) {
    const double d = direction[k] - 0.5;
    squares += values[k] * values[k];
    sum += values[k];
    product += values[k] * d;
    direction_squares += d * d;
  }
  const double norm = expected.at(0), off = gradient_tolerance * norm;
  ASSERT_GT(norm, 0) << what;
  EXPECT_NEAR(std::sqrt(squares), norm, off) << what << ", norm";
  EXPECT_NEAR(sum, expected.at(1).get<double>(), off * std::sqrt(static_cast<double>(values.size())))
      << what << ", sum";
  EXPECT_NEAR(product, expected.at(2).get<double>(), off * std::sqrt(direction_squares))
      << what << ", product";
}

TEST_P(GoldenGradient, OfEveryParameterIsThePeers) {
  const nlohmann::json file = load("gradients");
  const nlohmann::json& test = file.at("cases").at(GetParam());
  model::Model model = formula_model(shipped_spec(test.at("model"), test.at("nc")), at::kDouble);
  run_backward(test, model);
  if (HasFatalFailure()) {
    return;
  }
  const nlohmann::json& expected = test.at("gradients");
  size_t position = 0;
  for (size_t i = 0; i < model.state.size(); ++i) {
    const model_spec::StateEntry& entry = model.state.entries()[i];
    if (entry.is_parameter()) {
      ASSERT_LT(position, expected.size());
      expect_gradient(expected.at(position), position, model.state[i].grad(), entry.name);
      ++position;
    }
  }
  EXPECT_EQ(position, expected.size());
}

INSTANTIATE_TEST_SUITE_P(Networks, GoldenGradient, ::testing::Values(0, 1, 2), [](const auto& network) {
  return std::string(std::vector{"yolov5s", "yolov5m", "yolov5n6"}[network.param]);
});

}  // namespace
}  // namespace yolodist::golden
