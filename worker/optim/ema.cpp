// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/optim/ema.h"

#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_mul.h>
#include <c10/core/GradMode.h>

#include <cmath>
#include <vector>

#include "worker/memory/mark.h"

namespace yolodist::optim {

namespace {

model::Model copy_of(const model::Model& model) {
  const memory::KindScope kind(memory::Kind::ema);
  return {model, model.state.clone()};
}

}  // namespace

ModelEma::ModelEma(const model::Model& model) : model_(copy_of(model)) {}

double ModelEma::decay(int64_t updates) {
  return 0.9999 * (1 - std::exp(-static_cast<double>(updates) / 2000));
}

void ModelEma::update(const model::Model& model) {
  const c10::NoGradGuard no_grad;
  const double d = decay(++updates_);
  std::vector<at::Tensor> averaged, current;
  for (size_t i = 0; i < model_.state.size(); ++i) {
    if (model_.state[i].is_floating_point()) {
      averaged.push_back(model_.state[i]);
      current.push_back(model.state[i].detach());
    }
  }
  at::_foreach_mul_(averaged, d);
  at::_foreach_add_(averaged, current, 1 - d);
}

}  // namespace yolodist::optim
