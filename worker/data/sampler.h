// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace yolodist::data {

// The order of an epoch: a permutation of 0 ... count - 1 that depends on seed and epoch only.
std::vector<int> epoch_order(int64_t seed, int epoch, int count);

// A stretch of the epoch's order, or of a global batch.
struct Stretch {
  int first = 0, size = 0;
  bool operator==(const Stretch&) const = default;
};

// The global batches of an epoch of `count` pictures: `global_batch` each (at most `count`), the last maybe
// smaller.
std::vector<Stretch> batches_of(int count, int global_batch);

// The BN groups of a global batch, as sizes in order: K each, the last maybe smaller.
std::vector<int> groups_of(int batch_size, int group_size);
// Where each group lies in its batch.
std::vector<Stretch> group_stretches(std::span<const int> groups);

// Throws UsageError unless `shard` (pictures for each rank) has a number for each rank, sums to the global
// batch and can be cut into whole groups: the ranks' shares are multiples of K but for one that also takes
// the smaller last group, if there is one. An empty shard is fine.
void check_shard(std::span<const int> shard, int world_size, int global_batch, int group_size);

// For each rank the indices of the groups that it runs, ascending.
// Without a shard: contiguous, as even as possible, larger shares first. With one (checked before): each
// group to the first rank that has room for it, so a full batch gives each rank its share and a smaller last
// one fills the ranks in order; a group that fits nowhere goes to the rank with the largest share.
std::vector<std::vector<int>> assign_groups(std::span<const int> groups, int world_size,
                                            std::span<const int> shard);

}  // namespace yolodist::data
