// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/plan/memory_model.h"

namespace yolodist::plan {

// What a process takes of a CUDA device besides LibTorch's allocator.
struct Overhead {
  int64_t context_bytes = 0, workspace_bytes = 0;
  int64_t nccl_bytes = 0;    // with more than one rank
  double fragmentation = 0;  // of the allocator's bytes
};

// What a rank computes on.
struct Device {
  DeviceKind kind = DeviceKind::cpu;
  std::string card;          // "V100-16GB"; "cpu"
  std::string uuid;          // "" where it is a card of the catalogue
  int64_t budget_bytes = 0;  // of device_bytes; 0 = none
  // Rough rates: flops and elementwise bytes a second; only their ratios between ranks and policies matter.
  // These are of two AVX-512 cores: what makes work_of() agree with tests/benchmark/recompute_bench there.
  double flops_per_s = 250e9, bytes_per_s = 150e9;
  Overhead overhead;  // on CUDA
};

enum class RecomputeChoice { automatic, none, activations, blocks };
// Of "auto", "none", "activations", "blocks".
RecomputeChoice recompute_choice(const std::string& text);

// The recipe and where it is to run. `workload` holds what is the same for all ranks and plans: precision,
// sides, matches of the densest picture group for `bn_group` (scaled by the planner when it changes K),
// frozen layers, optimizer; device, pictures, recompute and validation_pictures are the planner's.
struct Request {
  const model_spec::ModelSpec* spec = nullptr;
  Workload workload;
  int64_t matches_a_picture = 0;  // of the densest picture: matches = this * pictures
  int global_batch = 16;          // -1 = the largest that fits, one BN group a rank; needs budgets
  int bn_group = 0;               // 0 = ceil(batch / ranks)
  int accumulate = 0;             // 0 = YOLOv5's nominal batch of 64
  int validation_batch = 0;       // pictures a validation group over all ranks; 0 = 2 * batch
  std::vector<int> shard;         // asked for; empty = the planner's
  RecomputeChoice recompute = RecomputeChoice::automatic;
  bool may_lower_bn_group = false;  // --allow-recipe-change
  std::vector<Device> devices;      // by rank
};

struct RankPlan {
  int rank = 0;
  Device device;
  std::vector<int> groups;  // indices into Plan::group_sizes; empty = the rank only takes part in what all do
  RecomputePlan recompute;  // by layer
  int validation_pictures = 0;  // of one slice; smaller slices, same groups and results
  Estimate estimate;
  double seconds = 0;  // of an iteration, by the rough rates
  bool fits = true;
};

// One way on when the plan does not fit or has failed, with what it would need.
struct Rung {
  std::string change;           // "recompute activations", "--bn-group 2", "--img 1024", …
  int64_t allocator_bytes = 0;  // the predicted peak of the rank that needs most of its budget
  bool fits = false;
  bool is_exact = true;  // same result
  double slowdown = 0;   // 0.07 = 7 % more time
};

struct Plan {
  int global_batch = 16, bn_group = 16, accumulate = 4;
  std::vector<int> group_sizes;  // of a full global batch
  std::vector<RankPlan> ranks;
  bool fits = false;
  std::string summary;  // one line: what is the same as YOLOv5 and what differs
  // With these devices and options, one BN group a rank; 0 = not even one picture a rank, -1 = no budget.
  int max_global_batch = 0;
  double slowdown = 0;      // against no recompute and no budgets anywhere, by the rough rates: 0.07 = 7 %
  std::vector<Rung> rungs;  // what else there is, exact ones first
  int64_t smallest_budget_bytes = 0;  // a device that would do for the worst rank, with every exact rung
};

// Chooses groups, shards and recompute for each rank: the least time among what fits; where nothing fits, the
// plan that needs least, with fits = false. Deterministic: every rank comes to the same plan.
// Throws UsageError for a --shard that cannot be, and for a batch of -1 without budgets.
Plan make_plan(const Request& request);

// Pictures of the global batch for each rank, as --shard would say it.
std::vector<int> shard_of(const Plan& plan);

// The most pictures that one forward can take on every device, with the request's recompute; 0 = not even
// one, -1 = no budget.
int largest_group(const Request& request);

// What is known of an out-of-memory, on every rank alike.
struct Shortfall {
  int rank = 0;
  bool in_validation = false;
  // Held by the failing rank between two steps beyond what its plan knows of: taken off its budget.
  int64_t excess_bytes = 0;
};

// The next plan to try after `plan` failed so, by the order of docs: recompute on the failing rank and its
// like (same budget and plan), then its groups to ranks with room, then all ranks; with leave, a smaller K.
// What the failing rank held beyond its plan's prediction is taken off its budget. Nothing when no rung is
// left.
std::optional<Plan> next_plan(const Request& request, const Plan& plan, const Shortfall& shortfall);

}  // namespace yolodist::plan
