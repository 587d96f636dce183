// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>

#include "common/config/hyperparameters.h"
#include "worker/optim/parameter_groups.h"

namespace yolodist::optim {

// What an iteration trains with.
struct IterationSettings {
  std::array<double, group_count> lr{};
  double momentum = 0;
  int accumulate = 1;  // iterations an optimizer step
};

// YOLOv5's learning rates, momentum and accumulation as a pure function of the place in the run.
// Its habits are kept: warm-up lasts max(round(warmup_epochs * batches), 100) iterations; outside it an epoch
// trains with the factor of the epoch before, because the scheduler steps after each epoch from a counter
// that starts one too low; the epoch in which warm-up ends keeps the value of the last warm-up iteration.
// Source: ultralytics/yolov5 v7.0 train.py.
class Schedule {
 public:
  struct Setup {
    config::Hyperparameters hyp;
    int epochs = 100;
    int batches_an_epoch = 1;
    int global_batch = 16;
    bool cos_lr = false;
    bool adam = false;   // its beta1 is not warmed up
    int accumulate = 0;  // 0 = nominal batch 64
  };
  explicit Schedule(const Setup& setup);

  IterationSettings at(int epoch, int batch) const;
  double lr_factor(int epoch) const;   // linear or cosine, before lr0
  double scaled_weight_decay() const;  // weight_decay * batch * accumulate / 64
  int64_t warmup_iterations() const { return warmup_iterations_; }

 private:
  Setup setup_;
  double full_accumulate_;  // real-valued, after warm-up
  int64_t warmup_iterations_;
};

}  // namespace yolodist::optim
