// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
// Values and gradients are held to the Python peer in tests/golden (loss).
#include "worker/loss/detection_loss.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

#include <cmath>

#include "common/base/error.h"
#include "common/base/philox.h"
#include "tests/support/tensors.h"

namespace yolodist::loss {
namespace {

using test::random_tensor;
using test::values_of;

constexpr int64_t picture_count = 5;
const std::vector<LevelShape> shapes = {{12, 8}, {6, 4}, {3, 2}};
const GridAnchors anchors = {{{1.25F, 1.625F}, {2.0F, 3.75F}, {4.125F, 2.875F}},
                             {{1.875F, 3.8125F}, {3.875F, 2.8125F}, {3.6875F, 7.4375F}},
                             {{3.625F, 2.8125F}, {4.875F, 6.1875F}, {11.65625F, 10.1875F}}};

class DetectionLoss : public ::testing::Test {
 protected:
  void SetUp() override { at::set_num_threads(1); }
};

std::vector<BatchTarget> random_targets(int64_t class_count) {
  Draws64 draws(9, RandomStream::weights, 0);
  std::vector<BatchTarget> targets;
  for (int k = 0; k < 24; ++k) {
    // Picture 3 has none.
    const int64_t image = std::array<int64_t, 4>{0, 1, 2, 4}[draws.below(4)];
    targets.push_back({image, draws.below(static_cast<uint32_t>(class_count)),
                       static_cast<float>(draws.uniform()), static_cast<float>(draws.uniform()),
                       static_cast<float>(draws.uniform(0.05, 0.8)),
                       static_cast<float>(draws.uniform(0.05, 0.8))});
  }
  return targets;
}

std::vector<at::Tensor> raw_predictions(int64_t class_count, at::ScalarType dtype = at::kDouble) {
  std::vector<at::Tensor> raw;
  for (const LevelShape& shape : shapes) {
    raw.push_back(random_tensor(static_cast<uint32_t>(raw.size()),
                                {picture_count, 3, shape.rows, shape.columns, class_count + 5}, dtype, -2, 2)
                      .requires_grad_());
  }
  return raw;
}

std::vector<LevelMatches> matches_of(const std::vector<BatchTarget>& targets) {
  return match_targets(targets, anchors, shapes, 4.0F);
}

std::vector<int64_t> counts_of(const std::vector<LevelMatches>& matches) {
  std::vector<int64_t> counts;
  for (const LevelMatches& level : matches) {
    counts.push_back(level.count());
  }
  return counts;
}

// The targets of pictures [first, first + count), with their place in the group.
std::vector<BatchTarget> targets_of_group(const std::vector<BatchTarget>& targets, int64_t first,
                                          int64_t count) {
  std::vector<BatchTarget> group;
  for (BatchTarget target : targets) {
    if (target.image >= first && target.image < first + count) {
      target.image -= first;
      group.push_back(target);
    }
  }
  return group;
}

// Every option that has a say in how terms are summed.
config::Hyperparameters with_all_options() {
  config::Hyperparameters hyp;
  hyp.label_smoothing = 0.1;
  hyp.cls_pw = 0.7;
  hyp.obj_pw = 1.3;
  hyp.fl_gamma = 1.5;
  return hyp;
}

void expect_groups_add_up(const config::Hyperparameters& hyp) {
  const std::vector<BatchTarget> targets = random_targets(4);
  const std::vector<at::Tensor> whole = raw_predictions(4), cut = raw_predictions(4);
  const std::vector<LevelMatches> matches = matches_of(targets);
  const Normalisers normalisers{counts_of(matches), picture_count};
  const GroupLoss together = detection_loss(whole, matches, normalisers, hyp);
  together.total.backward();

  double total = 0;
  LossItems items;
  std::vector<int64_t> counts(shapes.size(), 0);
  for (const auto& [first, count] : {std::pair<int64_t, int64_t>{0, 2}, {2, 1}, {3, 1}, {4, 1}}) {
    std::vector<at::Tensor> raw;
    for (const at::Tensor& level : cut) {
      raw.push_back(level.narrow(0, first, count));
    }
    const std::vector<LevelMatches> of_group = matches_of(targets_of_group(targets, first, count));
    const GroupLoss loss = detection_loss(raw, of_group, normalisers, hyp);
    loss.total.backward();
    total += loss.total.item<double>();
    items.box += loss.items.box;
    items.objectness += loss.items.objectness;
    items.classes += loss.items.classes;
    for (size_t level = 0; level < counts.size(); ++level) {
      counts[level] += of_group[level].count();
    }
  }
  EXPECT_EQ(counts, normalisers.match_count);
  EXPECT_NEAR(total, together.total.item<double>(), 1e-13 * total);
  EXPECT_NEAR(items.box, together.items.box, 1e-14);
  EXPECT_NEAR(items.objectness, together.items.objectness, 1e-14);
  EXPECT_NEAR(items.classes, together.items.classes, 1e-14);
  EXPECT_NEAR(total, (items.box + items.objectness + items.classes) * picture_count, 1e-13 * total);
  for (size_t level = 0; level < whole.size(); ++level) {
    const std::vector<double> expected = values_of(whole[level].grad()),
                              actual = values_of(cut[level].grad());
    for (size_t i = 0; i < expected.size(); ++i) {
      ASSERT_NEAR(actual[i], expected[i], 1e-14) << "level " << level << ", element " << i;
    }
  }
}

TEST_F(DetectionLoss, OfGroupsAddsUpToThatOfTheBatch) {
  expect_groups_add_up(config::Hyperparameters{});
}
TEST_F(DetectionLoss, OfGroupsAddsUpWithEveryOption) {
  expect_groups_add_up(with_all_options());
}

TEST_F(DetectionLoss, WithoutTargetsIsObjectnessAlone) {
  for (const at::ScalarType dtype : {at::kFloat, at::kDouble}) {
    const std::vector<at::Tensor> raw = raw_predictions(4, dtype);
    const GroupLoss loss = detection_loss(raw, matches_of({}), {{0, 0, 0}, picture_count}, {});
    EXPECT_EQ(loss.items.box, 0);
    EXPECT_EQ(loss.items.classes, 0);
    EXPECT_GT(loss.items.objectness, 0);
    // All cells should say no: the mean of ln(1 + e^x), by level 4.0, 1.0, 0.4.
    double expected = 0;
    for (size_t level = 0; level < raw.size(); ++level) {
      double sum = 0;
      const std::vector<double> logits = values_of(raw[level].select(4, 4));
      for (const double x : logits) {
        sum += std::log1p(std::exp(x));
      }
      expected += level_balance(3)[level] * sum / static_cast<double>(logits.size());
    }
    EXPECT_NEAR(loss.items.objectness, expected, (dtype == at::kDouble ? 1e-13 : 1e-6) * expected);
    loss.total.backward();
    for (const at::Tensor& level : raw) {
      EXPECT_EQ(level.grad().narrow(4, 0, 4).abs().sum().item<double>(), 0);
      EXPECT_EQ(level.grad().narrow(4, 5, 4).abs().sum().item<double>(), 0);
      EXPECT_GT(level.grad().select(4, 4).abs().min().item<double>(), 0);
    }
  }
}

TEST_F(DetectionLoss, OfOneClassHasNoClassTerm) {
  const std::vector<at::Tensor> raw = raw_predictions(1);
  const std::vector<LevelMatches> matches = matches_of(random_targets(1));
  const GroupLoss loss = detection_loss(raw, matches, {counts_of(matches), picture_count}, {});
  EXPECT_EQ(loss.items.classes, 0);
  EXPECT_GT(loss.items.box, 0);
  loss.total.backward();
  EXPECT_EQ(raw[0].grad().select(4, 5).abs().sum().item<double>(), 0);
  EXPECT_GT(raw[0].grad().select(4, 0).abs().sum().item<double>(), 0);
}

// A logit far on the right side costs nothing, far on the wrong side its distance; never inf or NaN. (Not so
// width and height, as in YOLOv5: where both underflow to 0 their ratio is 0/0.)
TEST_F(DetectionLoss, StaysFiniteForExtremeLogits) {
  const std::vector<LevelMatches> matches = matches_of(random_targets(4));
  for (const double scale : {-200.0, 200.0}) {
    std::vector<at::Tensor> raw;
    for (const at::Tensor& level : raw_predictions(4, at::kFloat)) {
      at::Tensor logits = level.detach() * scale;
      logits.narrow(4, 2, 2).copy_(level.detach().narrow(4, 2, 2));
      raw.push_back(logits.requires_grad_());
    }
    const GroupLoss loss = detection_loss(raw, matches, {counts_of(matches), picture_count}, {});
    EXPECT_TRUE(std::isfinite(loss.total.item<double>()));
    loss.total.backward();
    for (const at::Tensor& level : raw) {
      EXPECT_TRUE(std::isfinite(level.grad().abs().sum().item<double>()));
    }
  }
}

TEST_F(DetectionLoss, BalancesTheLevelsAsYolov5) {
  EXPECT_EQ(level_balance(3), (std::vector<double>{4.0, 1.0, 0.4}));
  EXPECT_EQ(level_balance(1), (std::vector<double>{4.0}));
  EXPECT_EQ(level_balance(2), (std::vector<double>{4.0, 1.0}));
  EXPECT_EQ(level_balance(4), (std::vector<double>{4.0, 1.0, 0.25, 0.06}));
  EXPECT_EQ(level_balance(5), (std::vector<double>{4.0, 1.0, 0.25, 0.06, 0.02}));
  EXPECT_THROW(level_balance(6), InternalError);
}

}  // namespace
}  // namespace yolodist::loss
