// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/train/update.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <limits>
#include <memory>
#include <utility>

#include "common/base/error.h"
#include "common/base/text.h"
#include "worker/memory/budget.h"
#include "worker/optim/gradients.h"

namespace yolodist::train {
namespace {

// Source: ultralytics/yolov5 v7.0 train.py, clip_grad_norm_.
constexpr double max_gradient_norm = 10.0;

// Every skipped step halves the loss scale: after so many it is 2^-34 or less, and at fault is something
// else.
constexpr int most_skipped_in_a_row = 50;

}  // namespace

void diverge(double value, const char* what, int epoch, int64_t iteration) {
  throw Diverged(cat("the ", what, " is ", value, " in epoch ", epoch, ", iteration ", iteration),
                 "Lower lr0 or check the labels; the last checkpoint is from before.");
}

std::vector<at::Tensor> room_for_update(const Training& t) {
  constexpr int64_t norms_and_scalars_bytes = int64_t{64} << 10;
  constexpr int channel_rows = 6;
  const at::TensorOptions on_device = at::TensorOptions().device(t.device);
  std::vector<at::Tensor> room = {at::empty({norms_and_scalars_bytes}, on_device.dtype(at::kByte))};
  for (int row = 0; row < channel_rows; ++row) {
    room.push_back(at::empty({t.model->batch_norms.channel_count}, on_device.dtype(at::kDouble)));
  }
  return room;
}

void spoil_gradients(Training& t) {
  at::Tensor(t.reducer->buckets().front()).fill_(std::numeric_limits<double>::quiet_NaN());
}

void update_parameters(Training& t, const optim::IterationSettings& settings) {
  const at::Tensor scale = t.scaler ? t.scaler->scale() : at::Tensor();
  const optim::GradientCheck gradients =
      optim::unscale_and_clip(t.reducer->buckets(), scale, max_gradient_norm);
  t.optimizer->step(settings.lr, settings.momentum, gradients.is_bad);
  if (t.scaler) {
    t.scaler->update(gradients.is_bad);
  }
  t.reducer->zero();
  t.ema->update(*t.model);  // of a step that is skipped too, as in YOLOv5
  const at::Tensor values = at::stack({gradients.norm, gradients.is_bad.to(at::kDouble),
                                       t.scaler ? scale.to(at::kDouble) : at::zeros_like(gradients.norm)});
  t.step_outcome =
      StepOutcome{.values = values, .arrived = nullptr, .iteration = t.iteration(), .epoch = t.state.epoch};
  if (!t.device.is_cpu()) {
    const memory::KindScope kind(memory::Kind::host);
    t.step_outcome->values = values.to(at::kCPU, /*non_blocking=*/true);  // into pinned memory
    const auto arrived = std::make_shared<c10::Event>(t.device.type());
    arrived->record(c10::impl::VirtualGuardImpl(t.device.type()).getStream(t.device));
    t.step_outcome->arrived = arrived;
  }
}

std::optional<TakenStep> take_step_outcome(Training& t) {
  if (!t.step_outcome) {
    return std::nullopt;
  }
  const StepOutcome outcome = *std::exchange(t.step_outcome, std::nullopt);
  if (outcome.arrived) {
    outcome.arrived->synchronize();
  }
  const double* values = outcome.values.const_data_ptr<double>();
  const double norm = values[0];
  TakenStep step{.iteration = outcome.iteration,
                 .gradient_norm = norm,
                 .is_skipped = values[1] != 0,
                 .loss_scale = values[2]};
  if (!step.is_skipped) {
    t.state.skipped_in_a_row = 0;
    return step;
  }
  if (!t.scaler) {
    diverge(norm, "gradient's norm", outcome.epoch, outcome.iteration);
  }
  ++t.state.skipped_steps;
  if (++t.state.skipped_in_a_row >= most_skipped_in_a_row) {
    throw Diverged(cat("the gradients were not finite in ", most_skipped_in_a_row,
                       " steps in a row, down to a loss scale of ", values[2], ", until epoch ",
                       outcome.epoch, ", iteration ", outcome.iteration),
                   "Lower lr0, check the labels, or train with --precision fp32; the last checkpoint is from "
                   "before.");
  }
  return step;
}

}  // namespace yolodist::train
