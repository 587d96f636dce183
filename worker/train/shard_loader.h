// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <future>
#include <memory>
#include <span>
#include <vector>

#include "worker/data/loader.h"
#include "worker/data/sample.h"
#include "worker/train/train_step.h"
#include "worker/train/training.h"
#include "worker/train/upload.h"

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
// threads. Those of one iteration are put together ahead, on a thread of its own, while the one before is
// computed; for a card they are uploaded as well.
class ShardLoader {
 public:
  explicit ShardLoader(const Training& training);
  // Waits only for the pictures being decoded, one a thread.
  ~ShardLoader();
  ShardLoader(const ShardLoader&) = delete;
  ShardLoader& operator=(const ShardLoader&) = delete;

  // The groups of the next iteration; empty when this rank has none. Call it when all work on the groups
  // before has been given to the device, and those are let go of. Throws DataError.
  std::vector<GroupBatch> next();

 private:
  struct Item {
    int position = 0;  // in the epoch
    int group = 0;     // in its global batch
  };
  void begin_ahead();
  std::vector<GroupBatch> put_together(size_t first_item, size_t count);

  std::vector<Item> items_;
  std::vector<size_t> items_of_iteration_;  // how many of items_ each iteration takes
  size_t begun_iterations_ = 0, begun_items_ = 0;
  std::unique_ptr<data::Loader> loader_;
  std::unique_ptr<Upload> upload_;  // null on the CPU
  std::atomic<bool> is_stopping_{false};
  std::future<std::vector<GroupBatch>> ahead_;  // the next iteration's; ends before what it uses
};

// Pictures of equal size as one tensor, pinned for a fast upload if so wished, and their targets with their
// index in it.
GroupBatch to_group(std::span<const data::Sample> samples, int group_index, bool is_pinned = false);

}  // namespace yolodist::train
