// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
// Twenty updates are held to the Python peer in tests/golden (ema).
#include "worker/optim/ema.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "worker/model/initialise.h"

namespace yolodist::optim {
namespace {

// Known values of YOLOv5 v7.0, to the digits that stand here.
TEST(Ema, HasTheKnownDecays) {
  for (const auto& [updates, decay] : {std::pair{1, 0.00049983},
                                       {10, 0.00498702},
                                       {100, 0.0487657},
                                       {1000, 0.39342999},
                                       {2000, 0.63205735},
                                       {10000, 0.99316273}}) {
    EXPECT_NEAR(ModelEma::decay(updates), decay, 5.1e-8 * (updates == 100 ? 1 : 0.1)) << updates;
  }
}

model::Model small_model() {
  model::Model model(
      model_spec::read_model_spec(
          std::filesystem::path(YOLODIST_SOURCE_DIR) / "share/yolodist/models/yolov5n.yaml", 2),
      at::kDouble);
  model::initialise(model, 1);
  return model;
}

TEST(Ema, FollowsEveryFloatAndNoCounter) {
  model::Model model = small_model();
  ModelEma ema(model);
  for (size_t i = 0; i < model.state.size(); ++i) {
    EXPECT_FALSE(ema.model().state[i].is_same(model.state[i]));
    if (model.state.entries()[i].is_parameter()) {
      model.state[i].requires_grad_(true);
    }
  }
  for (size_t i = 0; i < model.state.size(); ++i) {
    at::Tensor(model.state[i].detach()).fill_(5);
  }
  const model::StateDict before = ema.model().state.clone();
  ema.set_updates(999);
  ema.update(model);
  EXPECT_EQ(ema.updates(), 1000);
  const double d = ModelEma::decay(1000);
  for (size_t i = 0; i < model.state.size(); ++i) {
    const std::string& name = model.state.entries()[i].name;
    EXPECT_FALSE(ema.model().state[i].requires_grad()) << name;
    const double old = before[i].view(-1)[0].item<double>();
    const double expected = ema.model().state[i].is_floating_point() ? d * old + (1 - d) * 5 : old;
    EXPECT_NEAR(ema.model().state[i].view(-1)[0].item<double>(), expected, 1e-15) << name;
  }
  EXPECT_EQ(ema.model().state.at("model.0.bn.num_batches_tracked").item<int64_t>(), 1);
}

}  // namespace
}  // namespace yolodist::optim
