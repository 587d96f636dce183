// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

namespace yolodist::plan {

// The BN groups of a global batch: K pictures each, the last maybe smaller.
std::vector<int> groups_of_batch(int global_batch, int bn_group);

// Throws UsageError unless `shard` has a number for each rank, sums to the batch and can be cut into whole
// groups.
void check_shard(const std::vector<int>& shard, int world_size, int global_batch, int bn_group);

// Gives each group to a rank, groups in their order to ranks in theirs, so that the slowest rank is done
// soonest. `seconds[r]` is what rank r takes for a full group; infinite = it cannot take any. Even shares are
// kept where nothing is faster. `shard`, if any, decides alone. The worker's cutting of a batch by the
// resulting shard gives the same. Returns indices into `groups` by rank; empty lists for all when no rank can
// take any.
std::vector<std::vector<int>> share_groups(const std::vector<int>& groups, const std::vector<double>& seconds,
                                           const std::vector<int>& shard);

}  // namespace yolodist::plan
