// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "worker/optim/schedule.h"
#include "worker/train/training.h"

// The end of an optimizer step: from reduced gradients to parameters and average.
namespace yolodist::train {

// Room for what an update allocates in passing, in pieces as large as what it stands for: all of it has to be
// there before the first parameter moves, since after that there is no way back.
std::vector<at::Tensor> room_for_update(const Training& training);

// What became of an optimizer step.
struct TakenStep {
  int64_t iteration = 0;     // that made it
  double gradient_norm = 0;  // before clipping
  bool is_skipped = false;
  double loss_scale = 0;  // after it; 0 without one
};

// Makes the optimizer step that these gradients are part of one that is skipped, on whatever ranks and
// iterations it goes on.
void spoil_gradients(Training& training);

// From reduced gradients. Nothing waits for the device here: whether the step was a good one is known later.
void update_parameters(Training& training, const optim::IterationSettings& settings);

// Waits for the last step's outcome, if there is one that nobody has looked at, and puts it into
// training.state. Call before the state is saved. Throws Diverged.
std::optional<TakenStep> take_step_outcome(Training& training);

// Throws Diverged: "the loss is nan in epoch 3, iteration 120".
[[noreturn]] void diverge(double value, const char* what, int epoch, int64_t iteration);

}  // namespace yolodist::train
