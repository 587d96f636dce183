// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/train/update.h"

#include <ATen/ops/stack.h>
#include <ATen/ops/zeros_like.h>

#include <limits>
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

int64_t update_bytes(const Training& t) {
  constexpr int64_t norms_and_scalars = int64_t{64} << 10;
  return norms_and_scalars +
         6 * memory::rounded(t.model->batch_norms.channel_count * int64_t{sizeof(double)});
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
  t.step_outcome =
      StepOutcome{.values = at::stack({gradients.norm, gradients.is_bad.to(at::kDouble),
                                       t.scaler ? scale.to(at::kDouble) : at::zeros_like(gradients.norm)}),
                  .iteration = t.iteration(),
                  .epoch = t.state.epoch};
}

double take_step_outcome(Training& t) {
  if (!t.step_outcome) {
    return 0;
  }
  const StepOutcome outcome = *std::exchange(t.step_outcome, std::nullopt);
  const at::Tensor on_host = outcome.values.to(at::kCPU);
  const double* values = on_host.const_data_ptr<double>();
  const double norm = values[0];
  if (values[1] == 0) {
    t.state.skipped_in_a_row = 0;
    return norm;
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
  return norm;
}

}  // namespace yolodist::train
