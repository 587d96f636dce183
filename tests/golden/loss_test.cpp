// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include <ATen/Parallel.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "common/config/hyperparameters.h"
#include "tests/golden/tensors.h"
#include "worker/loss/box_iou.h"
#include "worker/loss/detection_loss.h"

namespace yolodist::golden {
namespace {

struct Precision {
  const char* name;
  at::ScalarType dtype;
  double tolerance;
};

// Same operations in the same precision; only the order of long sums differs (a sum divided by its count
// here, a mean there). fp64 keeps 1e-16 an operation. fp32 keeps 6e-8, and a sum of 20 thousand terms a few
// times that.
const std::vector<Precision>& precisions() {
  static const std::vector<Precision> both = {{"fp64", at::kDouble, 1e-13}, {"fp32", at::kFloat, 1e-6}};
  return both;
}

class GoldenLoss : public ::testing::Test {
 protected:
  void SetUp() override { at::set_num_threads(1); }
  const nlohmann::json file = load("loss");
};

std::vector<at::Tensor> raw_predictions(const nlohmann::json& test, at::ScalarType dtype) {
  std::vector<at::Tensor> raw;
  for (const int stride : test.at("strides").get<std::vector<int>>()) {
    raw.push_back(formula_tensor(10 + raw.size(),
                                 {test.at("batch"), 3, test.at("height").get<int>() / stride,
                                  test.at("width").get<int>() / stride, test.at("nc").get<int>() + 5},
                                 dtype, 4, 0.5)
                      .requires_grad_());
  }
  return raw;
}

void expect_gradient(const nlohmann::json& expected, size_t level, const at::Tensor& gradient,
                     double tolerance) {
  const std::string what = "gradient of level " + std::to_string(level);
  expect_summary(summary_from_json(expected.at("gradients").at(level)), values_of(gradient), tolerance, what);
  const auto squares = expected.at("column_sum_sq").at(level).get<std::vector<double>>();
  for (int64_t column = 0; column < 6; ++column) {
    const int64_t width = column < 5 ? 1 : gradient.size(4) - 5;
    const double actual = sums_of(gradient.narrow(4, column, width))[1];
    // Squares double the relative error; the box terms lose some digits in differences of corners.
    expect_relative(actual, squares.at(static_cast<size_t>(column)), 10 * tolerance,
                    what + ", column " + std::to_string(column));
  }
}

void expect_case(const nlohmann::json& test, const Precision& precision) {
  SCOPED_TRACE(test.at("name").get<std::string>() + ", " + precision.name);
  const nlohmann::json& expected = test.at(precision.name);
  const config::Hyperparameters hyp = config::hyperparameters_from_json(test.at("hyp"));
  const auto strides = test.at("strides").get<std::vector<int>>();
  const std::vector<at::Tensor> raw = raw_predictions(test, precision.dtype);
  std::vector<loss::LevelShape> shapes;
  for (const at::Tensor& level : raw) {
    shapes.push_back({level.size(2), level.size(3)});
  }
  const std::vector<loss::LevelMatches> matches =
      loss::match_targets(targets_from(test.at("targets")), grid_anchors_from(test.at("anchors_px"), strides),
                          shapes, static_cast<float>(hyp.anchor_t));
  loss::Normalisers normalisers{{}, test.at("batch")};
  for (const loss::LevelMatches& level : matches) {
    normalisers.match_count.push_back(level.count());
  }
  const loss::GroupLoss loss = loss::detection_loss(raw, matches, normalisers, hyp);
  expect_relative(loss.total.item<double>(), expected.at("total"), precision.tolerance, "total");
  expect_relative(loss.items.box, expected.at("box"), precision.tolerance, "box");
  expect_relative(loss.items.objectness, expected.at("obj"), precision.tolerance, "obj");
  expect_relative(loss.items.classes, expected.at("cls"), precision.tolerance, "cls");
  loss.total.backward();
  for (size_t level = 0; level < raw.size(); ++level) {
    expect_gradient(expected, level, raw[level].grad(), precision.tolerance);
  }
}

TEST_F(GoldenLoss, ValuesAndGradientsAreThePeers) {
  ASSERT_EQ(file.at("cases").size(), 10U);
  for (const nlohmann::json& test : file.at("cases")) {
    for (const Precision& precision : precisions()) {
      expect_case(test, precision);
    }
  }
}

TEST_F(GoldenLoss, CompleteIouAndItsGradientAreThePeers) {
  const nlohmann::json& expected = file.at("ciou");
  std::vector<double> flat;
  for (const nlohmann::json& row : expected.at("boxes")) {
    const auto numbers = row.get<std::vector<double>>();
    flat.insert(flat.end(), numbers.begin(), numbers.end());
  }
  const at::Tensor boxes = at::tensor(flat, at::kDouble).view({-1, 8});
  for (const Precision& precision : precisions()) {
    const at::Tensor predicted = boxes.narrow(1, 0, 4).to(precision.dtype).clone().requires_grad_();
    const at::Tensor iou = loss::complete_iou(predicted, boxes.narrow(1, 4, 4).to(precision.dtype));
    iou.sum().backward();
    const std::vector<double> values = values_of(iou), gradients = values_of(predicted.grad());
    const nlohmann::json& numbers = expected.at(precision.name);
    ASSERT_EQ(values.size(), numbers.at("ciou").size());
    for (size_t k = 0; k < values.size(); ++k) {
      // Both terms are below 1, and so is what rounding is relative to.
      EXPECT_NEAR(values[k], numbers.at("ciou").at(k).get<double>(), precision.tolerance) << "pair " << k;
      for (size_t side = 0; side < 4; ++side) {
        const double gradient = numbers.at("gradient").at(k).at(side);
        EXPECT_NEAR(gradients[4 * k + side], gradient, 10 * precision.tolerance * (1 + std::abs(gradient)))
            << precision.name << ", pair " << k << ", side " << side;
      }
    }
  }
}

// Three pairs whose values are known to eight digits: golden file and expectation guard each other.
TEST_F(GoldenLoss, CompleteIouHasTheKnownValues) {
  const double known[] = {0.99999998, 0.62519454, -0.50930367};
  for (size_t k = 0; k < std::size(known); ++k) {
    EXPECT_NEAR(file.at("ciou").at("fp64").at("ciou").at(k).get<double>(), known[k], 5.1e-9) << "pair " << k;
  }
}

}  // namespace
}  // namespace yolodist::golden
