// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "worker/data/loader.h"
#include "worker/data/sample.h"
#include "worker/train/train_step.h"
#include "worker/train/training.h"

namespace yolodist::train {

// How one global batch of an epoch is cut: the same on every rank.
struct EpochCut {
  int picture_count = 0;  // the last batch may be smaller
  std::vector<int> group_sizes;
  std::vector<std::vector<int>> groups_of_rank;
};
EpochCut cut_of_batch(const Training& training, int batch);

// The network's input in one iteration of the current epoch: the side, --rect's shape, --multi-scale's.
data::Shape shape_of_batch(const Training& training, int batch);

// Decoding threads of one rank: --workers, but not more than the rank has cores.
int loader_threads(const Training& training);

// This rank's pictures of the epoch in training.state, from training.state.batch on, prefetched by decoding
// threads.
class ShardLoader {
 public:
  explicit ShardLoader(const Training& training);
  // The groups of the next iteration; empty when this rank has none. Throws DataError.
  std::vector<GroupBatch> next();

 private:
  struct Item {
    int position = 0;  // in the epoch
    int group = 0;     // in its global batch
  };
  const Training& training_;
  int batch_;
  std::vector<Item> items_;
  size_t next_item_ = 0;
  std::vector<size_t> items_of_batch_;  // how many of items_ each remaining iteration takes
  std::unique_ptr<data::Loader> loader_;
};

// Pictures of equal size as one tensor, and their targets with their index in it.
GroupBatch to_group(std::span<const data::Sample> samples, int group_index);

}  // namespace yolodist::train
