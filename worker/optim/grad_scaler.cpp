// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/optim/grad_scaler.h"

#include <ATen/ops/_amp_update_scale.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include "worker/memory/mark.h"

namespace yolodist::optim {
namespace {

at::TensorOptions on(at::Device device) {
  return at::TensorOptions().device(device);
}

}  // namespace

GradScaler::GradScaler(at::Device device, const Settings& settings) : settings_(settings) {
  const memory::KindScope kind(memory::Kind::optimizer);
  scale_ = at::full({}, settings.initial, on(device).dtype(at::kFloat));
  good_steps_ = at::zeros({}, on(device).dtype(at::kInt));
}

void GradScaler::update(const at::Tensor& is_bad) {
  const c10::NoGradGuard no_grad;
  at::_amp_update_scale_(scale_, good_steps_, is_bad, settings_.growth, settings_.backoff,
                         settings_.growth_interval);
}

GradScaler::State GradScaler::state() const {
  return {scale_.item<double>(), good_steps_.item<int64_t>()};
}

void GradScaler::set_state(const State& state) {
  const c10::NoGradGuard no_grad;
  scale_.fill_(state.scale);
  good_steps_.fill_(state.good_steps);
}

}  // namespace yolodist::optim
