// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace yolodist::optim {

// The loss scale of fp16 training. In fp16 small gradients become 0; so backward starts from the loss times
// this scale, and the gradients are divided by it before they are used. Where a scaled gradient overflows,
// the step is skipped and the scale lowered; after a long time without one it is raised. All of it happens on
// the device: nothing waits for it.
//
// Ranks agree by themselves: the gradients are summed over all, so what is not finite on one is so on every
// one, and every rank moves its scale alike.
class GradScaler {
 public:
  // Source: the defaults of PyTorch's torch.amp.GradScaler, with which ultralytics/yolov5 v7.0 trains.
  struct Settings {
    double initial = 65536;
    double growth = 2, backoff = 0.5;
    int64_t growth_interval = 2000;  // good steps in a row before the scale is raised
  };
  GradScaler(at::Device device, const Settings& settings);

  // fp32 scalar on the device, always the same tensor.
  const at::Tensor& scale() const { return scale_; }

  // After a step. `is_bad`: fp32 scalar on the device, 1 where the step's gradients were not finite, else 0.
  void update(const at::Tensor& is_bad);

  // For checkpoints; wait for the device.
  struct State {
    double scale = 0;
    int64_t good_steps = 0;  // since the scale was moved
    bool operator==(const State&) const = default;
  };
  State state() const;
  void set_state(const State& state);

 private:
  Settings settings_;
  at::Tensor scale_, good_steps_;
};

}  // namespace yolodist::optim
