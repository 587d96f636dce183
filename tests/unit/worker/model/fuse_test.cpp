// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/model/fuse.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/support/tensors.h"
#include "tests/unit/worker/model/small_models.h"
#include "worker/model/initialise.h"

namespace yolodist::model {
namespace {

using Role = model_spec::StateEntry::Role;

class FuseTest : public ::testing::Test {
 protected:
  void SetUp() override { at::set_num_threads(1); }
  const c10::NoGradGuard no_grad;
};

// A model whose batch norms do something of their own in every channel.
Model lively(model_spec::ModelSpec spec, at::ScalarType dtype) {
  Model model(std::move(spec), dtype);
  initialise(model, 1);
  for (size_t i = 0; i < model.state.size(); ++i) {
    const auto& entry = model.state.entries()[i];
    const auto seed = static_cast<uint32_t>(i);
    if (entry.role == Role::bn_weight || entry.role == Role::bn_var) {
      model.state[i].copy_(test::random_tensor(seed, entry.shape, dtype, 0.5, 1.5));
    } else if (entry.role == Role::bn_bias || entry.role == Role::bn_mean) {
      model.state[i].copy_(test::random_tensor(seed, entry.shape, dtype, -0.2, 0.2));
    }
  }
  return model;
}

// The largest difference of the raw outputs, against the largest output.
double difference(const Model& model, int side) {
  const at::Tensor images = test::random_tensor(3, {2, 3, side, side}, model.dtype(), 0, 1);
  const std::vector<at::Tensor> plain = forward(model, images, nullptr);
  const std::vector<at::Tensor> fast = forward(fused(model), images, nullptr);
  double most = 0;
  for (size_t level = 0; level < plain.size(); ++level) {
    const std::vector<double> a = test::values_of(plain[level]), b = test::values_of(fast[level]);
    for (size_t i = 0; i < a.size(); ++i) {
      most = std::max(most, std::abs(a[i] - b[i]));
    }
  }
  return most;
}

TEST_F(FuseTest, ChangesTheOutputsByRoundingOnly) {
  EXPECT_LT(difference(lively(test::shipped("yolov5n", 3), at::kFloat), 64), 1e-4);
  EXPECT_LT(difference(lively(test::shipped("yolov5n", 3), at::kDouble), 64), 1e-12);
}

TEST_F(FuseTest, LeavesNoBatchNormBehindAndTheOriginalAsItWas) {
  const Model model = lively(test::shipped("yolov5n6", 2), at::kFloat);
  const uint64_t before = fingerprint(model.state);
  const Model fast = fused(model);
  EXPECT_EQ(fingerprint(model.state), before);
  for (const auto& entry : fast.state.entries()) {
    EXPECT_EQ(entry.name.find(".bn."), std::string::npos) << entry.name;
  }
  EXPECT_TRUE(fast.state.contains("model.0.conv.bias"));
  EXPECT_TRUE(fast.state.contains("model.2.m.0.cv1.conv.bias"));
}

// Bare convolutions, a batch norm over two of them, depthwise ones, parts without activation.
TEST_F(FuseTest, KnowsEveryKindOfConvolution) {
  for (const char* row :
       {"[-1, 3, BottleneckCSP, [64]]", "[-1, 1, C3Ghost, [64]]", "[-1, 1, GhostBottleneck, [64, 3, 2]]",
        "[-1, 1, DWConv, [64, 3, 1]]", "[-1, 1, SPP, [64, [5, 9]]]", "[-1, 1, Focus, [64, 3]]"}) {
    EXPECT_LT(difference(lively(test::with_row(row), at::kDouble), 32), 1e-10) << row;
  }
  const Model csp = fused(lively(test::with_row("[-1, 3, BottleneckCSP, [64]]"), at::kDouble));
  EXPECT_TRUE(csp.state.contains("model.1.bn.running_mean")) << "follows two convolutions: it stays";
  EXPECT_FALSE(csp.state.contains("model.1.cv2.bias"));
}

}  // namespace
}  // namespace yolodist::model
