// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "worker/train/training.h"

namespace yolodist::train {

// Settles --batch-size -1: the largest global batch that fits, the same on every rank; also bn_group, where
// that follows from it. Does nothing for a number. Collective. Throws OutOfMemory when not even one picture a
// rank fits.
void settle_batch(Training& training, const model_spec::ModelSpec& spec);

// Chooses how the recipe runs within the memory of every rank, says so, and takes the plan. Collective; every
// rank comes to the same plan. Throws OutOfMemory on every rank alike when nothing fits, unless
// --ignore-plan.
void make_plan(Training& training, const model_spec::ModelSpec& spec);

// Puts a plan in force on this rank. Not collective: all ranks call it with the same.
void take_plan(Training& training, const plan::Plan& plan);
// Adds the plan in force to plan.json, from the next iteration on. Rank 0 alone.
void record_plan(const Training& training);

nlohmann::json terms_json(const plan::Terms& terms);
std::string precision_name(const Training& training);

}  // namespace yolodist::train
