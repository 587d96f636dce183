// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "common/base/error.h"
#include "worker/memory/budget.h"
#include "worker/train/train_step.h"
#include "worker/train/training.h"

// What follows an out-of-memory: the step leaves no trace, all ranks agree on the next plan, and the step is
// done again on the same pictures.
namespace yolodist::train {

// A run as it was before an optimizer step: what the step's iterations move before its end.
class StepSnapshot {
 public:
  // Allocates what take() needs, on the device.
  explicit StepSnapshot(const Training& training);
  // Call before the first iteration of a step, and before the first of an attempt, which may lie inside one.
  void take(const Training& training);
  // Puts back state, batch norm statistics and gradients.
  void restore(Training& training) const;

 private:
  RunState state_;
  std::vector<size_t> statistics_;  // indices in the state dict
  std::vector<at::Tensor> values_;
  std::vector<at::Tensor> gradients_;  // in host memory; empty = zero
};

// Memory ran out and nothing is left to try. `memory` as in run::FailureReport.
class MemoryExhausted : public OutOfMemory {
 public:
  MemoryExhausted(const std::string& message, const std::string& hint, nlohmann::json memory)
      : OutOfMemory(message, hint), memory_(std::move(memory)) {}
  const nlohmann::json& memory() const { return memory_; }

 private:
  nlohmann::json memory_;
};

// After an iteration whose result says ran_out, on every rank: reports, puts the run back to before the step,
// agrees on the next plan and takes it. Returns one line that says so. Collective. Throws MemoryExhausted on
// a rank that ran out when no plan is left; the others then end by their launchers.
std::string answer_shortage(Training& training, const StepSnapshot& before, const IterationResult& result,
                            const std::vector<GroupBatch>& groups);

// After an out-of-memory in validation with so many pictures a forward, on this rank alone: reports it, and
// returns with how many to go on. `line` says so. Throws MemoryExhausted when it was one picture.
int answer_validation_shortage(Training& training, int pictures, std::string& line);

}  // namespace yolodist::train
