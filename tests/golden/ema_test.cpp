// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/golden/tensors.h"
#include "worker/optim/ema.h"

namespace yolodist::golden {
namespace {

using Role = model_spec::StateEntry::Role;

// The file's conv(1 -> 2) and batch norm(2), in the order of its state dict. Only the tensors matter.
model::Model small_model(at::ScalarType dtype) {
  model_spec::ModelSpec spec;
  spec.anchors_px = {{{10, 13}}};
  spec.strides_px = {8};
  model_spec::LayerSpec layer;
  layer.entries = {{"0.weight", Role::conv_weight, {2, 1, 1, 1}},
                   {"1.weight", Role::bn_weight, {2}},
                   {"1.bias", Role::bn_bias, {2}},
                   {"1.running_mean", Role::bn_mean, {2}},
                   {"1.running_var", Role::bn_var, {2}},
                   {"1.num_batches_tracked", Role::bn_count, {}}};
  spec.layers = {layer};
  return {spec, dtype};
}

void fill(model::Model& model, size_t step) {
  for (size_t e = 0; e < model.state.size(); ++e) {
    if (model.state[e].is_floating_point()) {
      model.state[e].copy_(
          formula_tensor(2000 + 10 * step + e, model.state[e].sizes().vec(), at::kDouble, 1, 0.5));
    } else {
      model.state[e].fill_(static_cast<int64_t>(step));
    }
  }
}

TEST(GoldenEma, DecayIsThePeers) {
  const nlohmann::json file = load("ema");
  for (size_t i = 0; i < file.at("updates").size(); ++i) {
    // 1 - exp(-x) for small x: one rounding of exp is 1e-16 of 5e-4.
    expect_relative(optim::ModelEma::decay(file.at("updates").at(i)), file.at("decays").at(i), 1e-12,
                    "decay");
  }
}

TEST(GoldenEma, TwentyUpdatesAreThePeers) {
  const nlohmann::json file = load("ema");
  for (const nlohmann::json& run : file.at("runs")) {
    const bool is_double = run.at("precision") == "fp64";
    // d * ema + (1 - d) * value, three roundings an update of numbers below 1/2.
    const double tolerance = is_double ? 1e-15 : 2e-7;
    model::Model model = small_model(is_double ? at::kDouble : at::kFloat);
    fill(model, 0);
    optim::ModelEma ema(model);
    ASSERT_EQ(run.at("rows").size(), 20U);
    for (size_t step = 1; step <= 20; ++step) {
      fill(model, step);
      ema.update(model);
      for (size_t e = 0; e < model.state.size(); ++e) {
        const std::string& name = model.state.entries()[e].name;
        const auto expected = run.at("rows").at(step - 1).at(name).get<std::vector<double>>();
        const std::vector<double> actual = values_of(ema.model().state[e]);
        ASSERT_EQ(actual.size(), expected.size()) << name;
        for (size_t k = 0; k < actual.size(); ++k) {
          EXPECT_NEAR(actual[k], expected[k], tolerance) << name << ", update " << step;
        }
      }
    }
    EXPECT_EQ(ema.updates(), 20);
  }
}

}  // namespace
}  // namespace yolodist::golden
