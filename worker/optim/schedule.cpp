// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/optim/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace yolodist::optim {
namespace {

constexpr double nominal_batch = 64;  // source: ultralytics/yolov5 v7.0 train.py, nbs

// On the way from one value to another after `done` of `total` iterations. The order of the operations is
// that of numpy.interp, so that an accumulation that lies on a half is rounded to the same side.
double between(double from, double to, int64_t done, int64_t total) {
  return done == total ? to : (to - from) / static_cast<double>(total) * static_cast<double>(done) + from;
}

// Python's round: halves go to the even neighbour (the default rounding mode).
int at_least_one(double value) {
  return std::max(static_cast<int>(std::nearbyint(value)), 1);
}

}  // namespace

Schedule::Schedule(const Setup& setup)
    : setup_(setup),
      full_accumulate_(setup.accumulate > 0 ? setup.accumulate : nominal_batch / setup.global_batch),
      warmup_iterations_(std::max<int64_t>(
          static_cast<int64_t>(std::nearbyint(setup.hyp.warmup_epochs * setup.batches_an_epoch)), 100)) {}

double Schedule::lr_factor(int epoch) const {
  const double x = static_cast<double>(epoch) / setup_.epochs, lrf = setup_.hyp.lrf;
  return setup_.cos_lr ? (1 - std::cos(std::numbers::pi * x)) / 2 * (lrf - 1) + 1 : (1 - x) * (1 - lrf) + lrf;
}

double Schedule::scaled_weight_decay() const {
  return setup_.hyp.weight_decay * setup_.global_batch * at_least_one(full_accumulate_) / nominal_batch;
}

IterationSettings Schedule::at(int epoch, int batch) const {
  const config::Hyperparameters& hyp = setup_.hyp;
  const int64_t iteration = static_cast<int64_t>(epoch) * setup_.batches_an_epoch + batch;
  const int64_t epoch_start = iteration - batch;
  IterationSettings settings;
  settings.momentum = hyp.momentum;
  settings.accumulate = at_least_one(full_accumulate_);
  if (iteration <= warmup_iterations_) {
    const auto now = [&](double from, double to) { return between(from, to, iteration, warmup_iterations_); };
    const double target = hyp.lr0 * lr_factor(epoch);
    settings.lr = {now(hyp.warmup_bias_lr, target), now(0, target), now(0, target)};
    settings.accumulate = at_least_one(now(1, full_accumulate_));
    settings.momentum = setup_.adam ? hyp.momentum : now(hyp.warmup_momentum, hyp.momentum);
    return settings;
  }
  const bool warmup_ended_in_this_epoch = epoch_start <= warmup_iterations_;
  const double lr = hyp.lr0 * lr_factor(warmup_ended_in_this_epoch ? epoch : epoch - 1);
  settings.lr = {lr, lr, lr};
  return settings;
}

}  // namespace yolodist::optim
