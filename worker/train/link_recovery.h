// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "worker/train/recovery.h"
#include "worker/train/train_step.h"
#include "worker/train/training.h"

namespace yolodist::train {

// After an iteration whose result says lost_link, on every rank: reports, connects the devices anew and puts
// the run back to before the step. Returns one line that says so. Collective. Throws PeerLost when the
// connection is lost too often or does not come back; then all workers start again from the checkpoint.
// Throws OutOfMemory on the rank whose card has no room for NCCL.
std::string answer_lost_link(Training& training, const StepSnapshot& before, const IterationResult& result);

}  // namespace yolodist::train
