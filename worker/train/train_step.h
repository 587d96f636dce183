// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <chrono>

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "worker/data/shape.h"
#include "worker/memory/budget.h"
#include "worker/train/row_exchange.h"
#include "worker/train/training.h"
#include "worker/train/update.h"

namespace yolodist::train {

// One BN group of this rank's shard: what a forward takes at once.
struct GroupBatch {
  int group_index = 0;                     // in the global batch
  std::vector<int> pictures;               // indices of the pictures
  at::Tensor images;                       // uint8 [n, 3, H, W], RGB
  std::vector<loss::BatchTarget> targets;  // image: index in this group
};

// One iteration, as all ranks plan it.
struct IterationPlan {
  int picture_count = 0;         // of the global batch; the last of an epoch may be smaller
  std::vector<int> group_sizes;  // its BN groups, in order
  std::vector<std::vector<int>> groups_of_rank;
  optim::IterationSettings settings;
  data::Shape shape;        // of the network's input, after --multi-scale
  bool makes_step = false;  // the last iteration of an optimizer step
  // When this rank began with it: before it waits for its pictures.
  std::chrono::steady_clock::time_point begin = std::chrono::steady_clock::now();
};

// What a rank wants of all: spread by the reduction that every iteration makes anyway.
struct Votes {
  bool stop = false;        // a signal, or --max-steps reached elsewhere
  bool checkpoint = false;  // rank 0: it is time
  bool give_up = false;     // rank 0: its checkpoints cannot be written, or the run is another job's
  bool data_lost = false;   // the pictures of this iteration cannot be read
};

// Why this rank could not start to reduce a bucket.
struct LostLink {
  std::string what;
  nlohmann::json collectives;  // as in run::FailureReport; null where the cause is local
  bool is_memory = false;      // NCCL found no room on the device
};

struct IterationResult {
  loss::LossItems losses;    // of the global batch
  int64_t target_count = 0;  // of the global batch
  Votes votes;               // of any rank
  // The step whose outcome became known: on the CPU this iteration's if it made one, on a card an earlier
  // one's, since nothing waits for it.
  std::optional<TakenStep> known_step;
  std::vector<RankReport> ranks;
  // Memory ran out on some rank: no parameter and no statistic has moved, gradients are worthless, losses are
  // not set. The step is to be given up and done again.
  bool ran_out = false;
  std::optional<memory::Shortage> shortage;  // of this rank
  // Gradients could not be put on their way between devices on some rank. Likewise, and before the next
  // iteration the devices have to be connected anew.
  bool lost_link = false;
  std::optional<LostLink> link_failure;  // of this rank
  // votes.data_lost: the iteration was not made; all but the votes is unset, and the state as it was before.
};

// Values from 0 to 1 on the device, channels_last, in the dtype that the model computes in; with
// --multi-scale resized to `shape`. pixels: uint8 [n, 3, H, W]. Source: ultralytics/yolov5 v7.0 train.py
// (bilinear, corners not aligned).
at::Tensor network_input(const Training& training, data::Shape shape, const at::Tensor& pixels);

// Forward and backward over this rank's groups; with plan.makes_step, reduces the gradients over all ranks
// and updates parameters and EMA. Collective. A rank without groups takes part in everything. In fp16 a step
// whose loss or gradient is not finite is skipped. Throws on every rank alike Diverged, when that happens in
// another precision or many times in a row; PeerLost.
IterationResult run_iteration(Training& training, const IterationPlan& plan,
                              const std::vector<GroupBatch>& groups, const Votes& votes);

}  // namespace yolodist::train
