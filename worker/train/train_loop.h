// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "common/base/exit_code.h"
#include "worker/train/launch_link.h"
#include "worker/train/training.h"

namespace yolodist::train {

// Trains from training.state to the end, or to a stop: epochs of iterations, validation, checkpoints, files
// of the run. Collective. Returns ok, or state_saved after a stop request on any rank.
ExitCode train(Training& training, const LaunchLink& link);

}  // namespace yolodist::train
