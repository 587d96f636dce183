// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
// The gradient that the loss computes part by part, against that of one plain graph.
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/binary_cross_entropy_with_logits.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/clamp_min.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <set>
#include <tuple>

#include "tests/unit/worker/loss/loss_cases.h"
#include "worker/loss/box_iou.h"

namespace yolodist::loss {
namespace {

class LossGradient : public ::testing::Test {
 protected:
  void SetUp() override { at::set_num_threads(1); }
  void TearDown() override { at::set_num_threads(1); }
};

config::Hyperparameters with_all_options() {
  config::Hyperparameters hyp;
  hyp.cls_pw = 0.7;
  hyp.obj_pw = 1.3;
  hyp.fl_gamma = 1.5;
  hyp.label_smoothing = 0.1;
  return hyp;
}

at::Tensor entropy(const at::Tensor& logits, const at::Tensor& labels, double positive, double gamma) {
  const at::Tensor loss = at::binary_cross_entropy_with_logits(
      logits, labels, {}, at::full({1}, positive, logits.options().requires_grad(false)),
      at::Reduction::None);
  const at::Tensor p = at::sigmoid(logits), right = labels * p + (1 - labels) * (1 - p);
  return gamma > 0 ? loss * (labels * 0.25 + (1 - labels) * 0.75) * (1 - right).pow(gamma) : loss;
}

// All matches of a level at once, cell by cell.
at::Tensor plain_level(const at::Tensor& raw, const LevelMatches& m, double balance,
                       const config::Hyperparameters& hyp) {
  std::vector<at::Tensor> cells, anchors, boxes;
  at::Tensor objectness = at::zeros({raw.size(0), raw.size(1), raw.size(2), raw.size(3)}, at::kDouble);
  at::Tensor classes = at::full({m.count(), raw.size(4) - 5}, hyp.label_smoothing / 2, at::kDouble);
  for (size_t k = 0; k < m.image.size(); ++k) {
    cells.push_back(
        raw.select(0, m.image[k]).select(0, m.anchor[k]).select(0, m.row[k]).select(0, m.column[k]));
    anchors.push_back(at::tensor({m.anchor_w[k], m.anchor_h[k]}).to(at::kDouble));
    boxes.push_back(at::tensor({m.x[k], m.y[k], m.w[k], m.h[k]}));
    classes[static_cast<int64_t>(k)][m.class_index[k]] = 1 - hyp.label_smoothing / 2;
  }
  const at::Tensor rows = at::stack(cells);
  const at::Tensor half = at::sigmoid(rows.narrow(1, 2, 2)) * 2;
  const at::Tensor iou = complete_iou(
      at::cat({at::sigmoid(rows.narrow(1, 0, 2)) * 2 - 0.5, half * half * at::stack(anchors)}, 1),
      at::stack(boxes));
  for (size_t k = 0; k < m.image.size(); ++k) {
    objectness[m.image[k]][m.anchor[k]][m.row[k]][m.column[k]] =
        at::clamp_min(iou.detach()[static_cast<int64_t>(k)], 0);
  }
  return (1 - iou).mean() * hyp.box +
         entropy(raw.select(4, 4), objectness, hyp.obj_pw, hyp.fl_gamma).mean() * balance * hyp.obj +
         entropy(rows.narrow(1, 5, raw.size(4) - 5), classes, hyp.cls_pw, hyp.fl_gamma).mean() * hyp.cls;
}

// Gradients of the plain graph, by level; the matches are those of the whole batch.
std::vector<at::Tensor> plain_gradients(const LossCase& test, const config::Hyperparameters& hyp) {
  std::vector<at::Tensor> gradients;
  for (size_t level = 0; level < test.raw.size(); ++level) {
    const at::Tensor leaf = test.raw[level].detach().clone().requires_grad_();
    (plain_level(leaf, test.matches[level], level_balance(3)[level], hyp) *
     static_cast<double>(test.normalisers.picture_count))
        .backward();
    gradients.push_back(leaf.grad());
  }
  return gradients;
}

// Differences of corners cost some digits, as in the comparison with the peer.
void expect_equal(const at::Tensor& actual, const at::Tensor& expected, size_t level) {
  const double largest = expected.abs().max().item<double>();
  EXPECT_GT(largest, 0);
  EXPECT_LE((actual - expected).abs().max().item<double>(), 1e-12 * largest) << "level " << level;
}

size_t cells_of(const LevelMatches& m) {
  std::set<std::tuple<int64_t, int64_t, int64_t, int64_t>> cells;
  for (size_t k = 0; k < m.image.size(); ++k) {
    cells.emplace(m.image[k], m.anchor[k], m.row[k], m.column[k]);
  }
  return cells.size();
}

// Many matches share a cell; with 600 classes in double a part is a hundred rows, and most levels have
// several parts, so that cells of one part appear in another.
TEST_F(LossGradient, IsThatOfOnePlainGraph) {
  for (const config::Hyperparameters& hyp : {config::Hyperparameters{}, with_all_options()}) {
    const LossCase test = loss_case({.pictures = 2, .class_count = 600, .boxes = 60, .dtype = at::kDouble});
    EXPECT_GT(test.matches[0].count(), 300);
    EXPECT_LT(cells_of(test.matches[0]), static_cast<size_t>(test.matches[0].count()));
    const std::vector<at::Tensor> expected = plain_gradients(test, hyp);
    detection_loss(test.raw, test.matches, test.normalisers, hyp).total.backward();
    for (size_t level = 0; level < test.raw.size(); ++level) {
      expect_equal(test.raw[level].grad(), expected[level], level);
    }
  }
}

TEST_F(LossGradient, OfManyPicturesIsThatOfOnePlainGraph) {
  const LossCase test =
      loss_case({.pictures = 24, .side_px = 320, .class_count = 2, .boxes = 10, .dtype = at::kDouble});
  const std::vector<at::Tensor> expected = plain_gradients(test, {});
  detection_loss(test.raw, test.matches, test.normalisers, {}).total.backward();
  for (size_t level = 0; level < test.raw.size(); ++level) {
    expect_equal(test.raw[level].grad(), expected[level], level);
  }
}

// Many matches add to one cell, and there are enough of them for LibTorch to use threads.
TEST_F(LossGradient, HasTheSameBitsEveryTime) {
  at::set_num_threads(4);
  const auto gradients = [] {
    const LossCase test = loss_case({.side_px = 160, .class_count = 80, .boxes = 2000});
    detection_loss(test.raw, test.matches, test.normalisers, {}).total.backward();
    return std::vector{test.raw[0].grad(), test.raw[1].grad(), test.raw[2].grad()};
  };
  const std::vector<at::Tensor> first = gradients();
  for (int round = 0; round < 4; ++round) {
    const std::vector<at::Tensor> again = gradients();
    for (size_t level = 0; level < first.size(); ++level) {
      EXPECT_TRUE(at::equal(first[level], again[level])) << "level " << level;
    }
  }
}

TEST_F(LossGradient, IsScaledByWhatComesFromAbove) {
  const LossCase once = loss_case({.dtype = at::kDouble}), thrice = loss_case({.dtype = at::kDouble});
  detection_loss(once.raw, once.matches, once.normalisers, {}).total.backward();
  (detection_loss(thrice.raw, thrice.matches, thrice.normalisers, {}).total * 3).backward();
  for (size_t level = 0; level < once.raw.size(); ++level) {
    EXPECT_TRUE(at::equal(thrice.raw[level].grad(), once.raw[level].grad() * 3)) << "level " << level;
  }
}

TEST_F(LossGradient, OfATermWithoutGainIsZero) {
  config::Hyperparameters hyp;
  hyp.obj = 0;
  const LossCase test = loss_case({});
  detection_loss(test.raw, test.matches, test.normalisers, hyp).total.backward();
  for (const at::Tensor& level : test.raw) {
    EXPECT_EQ(level.grad().select(4, 4).abs().max().item<double>(), 0);
    EXPECT_GT(level.grad().narrow(4, 0, 4).abs().max().item<double>(), 0);
  }
}

}  // namespace
}  // namespace yolodist::loss
