// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/optim/grad_scaler.h"

#include <ATen/ops/full.h>
#include <gtest/gtest.h>

namespace yolodist::optim {
namespace {

void steps(GradScaler& scaler, int count, double is_bad) {
  const at::Tensor flag = at::full({}, is_bad, at::kFloat);
  for (int i = 0; i < count; ++i) {
    scaler.update(flag);
  }
}

TEST(GradScaler, StartsAsPyTorchs) {
  const GradScaler scaler(at::kCPU, {});
  EXPECT_EQ(scaler.state(), (GradScaler::State{65536, 0}));
  EXPECT_EQ(scaler.scale().item<double>(), 65536);
}

TEST(GradScaler, IsHalvedByABadStepAndDoubledAfterManyGoodOnes) {
  GradScaler scaler(at::kCPU, {.growth_interval = 3});
  steps(scaler, 2, 0);
  EXPECT_EQ(scaler.state(), (GradScaler::State{65536, 2}));
  steps(scaler, 1, 1);
  EXPECT_EQ(scaler.state(), (GradScaler::State{32768, 0})) << "a bad step begins the count anew";
  steps(scaler, 2, 0);
  EXPECT_EQ(scaler.state(), (GradScaler::State{32768, 2}));
  steps(scaler, 1, 0);
  EXPECT_EQ(scaler.state(), (GradScaler::State{65536, 0}));
}

TEST(GradScaler, GoesOnFromItsState) {
  GradScaler scaler(at::kCPU, {.growth_interval = 3});
  const at::Tensor scale = scaler.scale();
  scaler.set_state({128, 2});
  EXPECT_EQ(scaler.state(), (GradScaler::State{128, 2}));
  steps(scaler, 1, 0);
  EXPECT_EQ(scaler.state(), (GradScaler::State{256, 0}));
  EXPECT_EQ(scale.item<double>(), 256) << "the tensor is always the same";
}

}  // namespace
}  // namespace yolodist::optim
