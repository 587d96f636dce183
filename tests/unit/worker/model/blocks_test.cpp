// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
// Values are compared with the Python peer in tests/golden (forward_blocks); here are shapes and rare
// arguments.
#include "worker/model/blocks.h"

#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "common/base/error.h"
#include "tests/support/tensors.h"
#include "tests/unit/worker/model/small_models.h"
#include "worker/model/initialise.h"
#include "worker/model/model.h"

namespace yolodist::model {
namespace {

using test::random_tensor;
using test::values_of;
using test::with_row;

constexpr int64_t height_px = 64, width_px = 96;

// The outputs of layers 0 and 1 for pictures of 96 x 64 px, with batch statistics.
std::vector<at::Tensor> run_two_layers(const Model& model) {
  BatchNormRecord record(model.batch_norms, model.dtype());
  Pass pass{.state = &model.state,
            .nonlinearity = ops::nonlinearity_of(model.spec.activation),
            .table = &model.batch_norms,
            .record = &record,
            .measures = true};
  const Activation picture{random_tensor(1, {2, 3, height_px, width_px}, model.dtype(), 0, 1), nullptr};
  const Activation first = run_block(pass, model.spec.layers[0], {picture});
  std::vector<Activation> inputs;
  for (const int source : model.spec.layers[1].from) {
    inputs.push_back(source == 0 ? first : picture);
  }
  const Activation second = run_block(pass, model.spec.layers[1], inputs);
  EXPECT_EQ(pass.layer, &model.spec.layers[1]);
  return {first.value, second.value};
}

class Blocks : public ::testing::Test {
 protected:
  void SetUp() override { at::set_num_threads(1); }
  const c10::NoGradGuard no_grad;
};

TEST_F(Blocks, GiveTheShapesOfTheLayerTable) {
  std::vector<std::string> seen;
  for (const char* row : {
           "[-1, 1, Conv, [32, 3, 2]]",
           "[-1, 1, Conv, [32, 1, 1, None, 4, 1, False]]",
           "[-1, 1, Conv, [32, 3, 1, None, 1, 2]]",
           "[-1, 1, Conv, [32, 5, 2, None, 8, 2]]",
           "[-1, 1, Conv, [32, 6, 2, 2]]",
           "[-1, 2, Conv, [64, 1, 1]]",
           "[-1, 1, DWConv, [96, 3, 2]]",
           "[-1, 1, DWConv, [64, 3, 1, 3]]",
           "[-1, 1, Focus, [32, 3]]",
           "[-1, 1, Focus, [32, 3, 2]]",
           "[-1, 1, Bottleneck, [64]]",
           "[-1, 2, Bottleneck, [64, False]]",
           "[-1, 1, Bottleneck, [32, True, 4, 0.25]]",
           "[-1, 2, BottleneckCSP, [64]]",
           "[-1, 3, C3, [48]]",
           "[-1, 2, C3, [64, False, 2, 0.25]]",
           "[-1, 1, GhostConv, [128, 3, 2]]",
           "[-1, 1, GhostBottleneck, [64, 3, 1]]",
           "[-1, 1, GhostBottleneck, [128, 3, 2]]",
           "[-1, 2, C3Ghost, [64]]",
           "[-1, 1, SPP, [64, [5, 9, 13]]]",
           "[-1, 1, SPP, [32, [3]]]",
           "[-1, 1, SPPF, [64, 3]]",
           "[-1, 1, nn.Upsample, [None, 2, 'nearest']]",
           "[[-1, 0], 1, Concat, [1]]",
       }) {
    SCOPED_TRACE(row);
    Model model(with_row(row), at::kFloat);
    initialise(model, 1);
    const at::Tensor out = run_two_layers(model)[1];
    const model_spec::LayerSpec& layer = model.spec.layers[1];
    const auto cells = [&](int64_t side) {
      return static_cast<int64_t>(static_cast<double>(side) / layer.stride_px);
    };
    EXPECT_EQ(out.sizes().vec(), (std::vector<int64_t>{2, layer.c_out, cells(height_px), cells(width_px)}));
    EXPECT_TRUE(std::isfinite(out.sum().item<double>()));
    seen.push_back(layer.block);
  }
  for (const std::string& block : model_spec::known_blocks()) {
    EXPECT_TRUE(block == "Detect" || std::find(seen.begin(), seen.end(), block) != seen.end()) << block;
  }
}

// A row's output under each activation is the function of its output under Identity.
TEST_F(Blocks, ApplyTheModelsActivation) {
  const std::vector<std::pair<std::string, std::function<double(double)>>> activations = {
      {"nn.SiLU()", [](double x) { return x / (1 + std::exp(-x)); }},
      {"", [](double x) { return x / (1 + std::exp(-x)); }},
      {"nn.ReLU()", [](double x) { return std::max(x, 0.0); }},
      {"nn.LeakyReLU(0.1)", [](double x) { return x > 0 ? x : 0.1 * x; }},
      {"nn.Hardswish()", [](double x) { return x * std::min(std::max(x + 3, 0.0), 6.0) / 6; }},
      {"nn.Identity()", [](double x) { return x; }},
  };
  const auto outputs = [](const std::string& row, const std::string& activation) {
    Model model(with_row(row, activation), at::kDouble);
    initialise(model, 2);
    return run_two_layers(model);
  };
  const std::vector<double> linear = values_of(outputs("[-1, 1, Conv, [32, 3, 2]]", "nn.Identity()")[0]);
  for (const auto& [name, function] : activations) {
    const std::vector<double> values = values_of(outputs("[-1, 1, Conv, [32, 3, 2]]", name)[0]);
    ASSERT_EQ(values.size(), linear.size());
    for (size_t i = 0; i < values.size(); i += 7) {
      ASSERT_NEAR(values[i], function(linear[i]), 1e-14) << name;
    }
  }
}

// The last argument of Conv: no activation. Then the batch norm's output has mean 0 and variance 1 a channel.
TEST_F(Blocks, ConvWithoutActivationIsTheBatchNormsOutput) {
  for (const char* row :
       {"[-1, 1, Conv, [8, 3, 1, None, 1, 1, False]]", "[-1, 1, DWConv, [64, 3, 1, 1, False]]"}) {
    Model model(with_row(row), at::kDouble);
    initialise(model, 3);
    const at::Tensor out = run_two_layers(model)[1];
    const at::Tensor mean = out.mean(at::IntArrayRef{0, 2, 3}),
                     variance = out.var(at::IntArrayRef{0, 2, 3}, false);
    for (int64_t c = 0; c < out.size(1); ++c) {
      EXPECT_NEAR(mean[c].item<double>(), 0, 1e-12) << row;
      // var / (var + eps) of the convolution's output.
      EXPECT_GT(variance[c].item<double>(), 0.8) << row;
      EXPECT_LT(variance[c].item<double>(), 1) << row;
    }
  }
}

TEST_F(Blocks, BatchStatisticsLeaveTheRunningOnesAlone) {
  Model model(with_row("[-1, 1, C3, [64]]"), at::kFloat);
  initialise(model, 4);
  const uint64_t before = fingerprint(model.state);
  run_two_layers(model);
  EXPECT_EQ(before, fingerprint(model.state));
}

}  // namespace
}  // namespace yolodist::model
