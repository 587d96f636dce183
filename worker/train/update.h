// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "worker/optim/schedule.h"
#include "worker/train/training.h"

// The end of an optimizer step: from reduced gradients to parameters and average.
namespace yolodist::train {

// Room for what an update allocates in passing: all of it has to be there before the first parameter moves,
// since after that there is no way back.
int64_t update_bytes(const Training& training);

// Makes the optimizer step that these gradients are part of one that is skipped, on whatever ranks and
// iterations it goes on.
void spoil_gradients(Training& training);

// From reduced gradients. Nothing waits for the device here: whether the step was a good one is known later.
void update_parameters(Training& training, const optim::IterationSettings& settings);

// Waits for the last step's outcome, if there is one that nobody has looked at, and puts it into
// training.state. Call before the state is saved. Returns the gradient's norm before clipping; 0 when there
// is nothing new. Throws Diverged.
double take_step_outcome(Training& training);

// Throws Diverged: "the loss is nan in epoch 3, iteration 120".
[[noreturn]] void diverge(double value, const char* what, int epoch, int64_t iteration);

}  // namespace yolodist::train
