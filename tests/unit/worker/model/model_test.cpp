// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/model/model.h"

#include <ATen/Parallel.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/tensors.h"
#include "tests/unit/worker/model/small_models.h"
#include "worker/model/initialise.h"
#include "worker/model/summary.h"

namespace yolodist::model {
namespace {

class ModelTest : public ::testing::Test {
 protected:
  void SetUp() override { at::set_num_threads(1); }
  const c10::NoGradGuard no_grad;
};

TEST_F(ModelTest, RawOutputsHaveALevelsShape) {
  Model model(test::shipped("yolov5n6", 7), at::kFloat);
  initialise(model, 1);
  const std::vector<at::Tensor> raw =
      forward(model, test::random_tensor(1, {2, 3, 64, 128}, at::kFloat, 0, 1), nullptr);
  ASSERT_EQ(raw.size(), 4U);
  for (size_t level = 0; level < 4; ++level) {
    const int64_t stride = int64_t{8} << level;
    EXPECT_EQ(raw[level].sizes().vec(), (std::vector<int64_t>{2, 3, 64 / stride, 128 / stride, 12}));
  }
  EXPECT_EQ(decode(model, raw).sizes().vec(), (std::vector<int64_t>{2, 3 * (128 + 32 + 8 + 2), 12}));
}

// A worked example: stride 8, cell x = 10, anchor width 10 px, logits .2 and -.3.
TEST_F(ModelTest, DecodesTheKnownBox) {
  Model model(test::shipped("yolov5n", 1), at::kDouble);
  initialise(model, 1);
  std::vector<at::Tensor> raw;
  for (const int64_t side : {16, 8, 4}) {
    raw.push_back(at::zeros({1, 3, side, side, 6}, at::kDouble));
  }
  const int64_t row = 3, column = 10;
  raw[0][0][0][row][column][0].fill_(0.2);
  raw[0][0][0][row][column][2].fill_(-0.3);
  const at::Tensor box = decode(model, raw)[0][row * 16 + column];
  EXPECT_NEAR(box[0].item<double>(), 84.797344, 1e-6);
  EXPECT_NEAR(box[2].item<double>(), 7.243967, 1e-6);
  EXPECT_NEAR(box[1].item<double>(), (0.5 + row) * 8, 1e-12);
  EXPECT_NEAR(box[3].item<double>(), 13, 1e-6);
  EXPECT_NEAR(box[4].item<double>(), 0.5, 1e-15);
}

// Memory formats and shared sources may not leak between pictures.
TEST_F(ModelTest, EvaluatesPicturesIndependently) {
  Model model(test::shipped("yolov5n", 3), at::kDouble);
  initialise(model, 2);
  const at::Tensor images = test::random_tensor(3, {3, 3, 64, 64}, at::kDouble, 0, 1);
  const std::vector<double> together = test::values_of(decode(model, forward(model, images, nullptr))[1]);
  const std::vector<double> alone =
      test::values_of(decode(model, forward(model, images.narrow(0, 1, 1), nullptr))[0]);
  ASSERT_EQ(together.size(), alone.size());
  for (size_t i = 0; i < alone.size(); ++i) {
    ASSERT_NEAR(together[i], alone[i], 1e-12 * (1 + std::abs(alone[i])));
  }
}

TEST_F(ModelTest, SharesTensorsWhenCopiedAndOwnsThemAsAnotherSet) {
  Model model(test::shipped("yolov5n", 3), at::kFloat);
  initialise(model, 2);
  const Model copy = model;
  const Model other(model, model.state.clone());
  model.state[0].fill_(1);
  EXPECT_EQ(fingerprint(copy.state), fingerprint(model.state));
  EXPECT_NE(fingerprint(other.state), fingerprint(model.state));
  EXPECT_EQ(other.dtype(), at::kFloat);
  EXPECT_EQ(other.batch_norms.names, model.batch_norms.names);
}

TEST_F(ModelTest, SummaryHasTheOfficialTotals) {
  const Model model(test::shipped("yolov5n"), at::kFloat);
  const std::string text = summary(model);
  EXPECT_NE(text.find("1872157 parameters"), std::string::npos) << text;
  EXPECT_NE(text.find("349 state entries"), std::string::npos) << text;
}

}  // namespace
}  // namespace yolodist::model
