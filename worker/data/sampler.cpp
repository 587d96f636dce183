// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/data/sampler.h"

#include <algorithm>
#include <numeric>
#include <string>
#include <utility>

#include "common/base/error.h"
#include "common/base/philox.h"
#include "common/base/text.h"

namespace yolodist::data {
namespace {

std::string shard_text(std::span<const int> shard) {
  std::vector<std::string> parts;
  for (const int share : shard) {
    parts.push_back(std::to_string(share));
  }
  return join(parts, ",");
}

}  // namespace

std::vector<int> epoch_order(int64_t seed, int epoch, int count) {
  std::vector<int> order(static_cast<size_t>(std::max(0, count)));
  std::iota(order.begin(), order.end(), 0);
  Draws64 draws(static_cast<uint64_t>(seed), RandomStream::shuffle, static_cast<uint32_t>(epoch));
  for (size_t i = order.size(); i > 1; --i) {
    std::swap(order[i - 1], order[draws.below(static_cast<uint32_t>(i))]);
  }
  return order;
}

std::vector<Stretch> batches_of(int count, int global_batch) {
  check(global_batch > 0, "batches_of: the global batch is positive");
  std::vector<Stretch> batches;
  for (int first = 0; first < count; first += std::min(global_batch, count - first)) {
    batches.push_back({first, std::min(global_batch, count - first)});
  }
  return batches;
}

std::vector<int> groups_of(int batch_size, int group_size) {
  check(group_size > 0, "groups_of: the group size is positive");
  std::vector<int> groups;
  for (const Stretch& group : batches_of(batch_size, group_size)) {
    groups.push_back(group.size);
  }
  return groups;
}

std::vector<Stretch> group_stretches(std::span<const int> groups) {
  std::vector<Stretch> stretches;
  int first = 0;
  for (const int size : groups) {
    stretches.push_back({first, size});
    first += size;
  }
  return stretches;
}

void check_shard(std::span<const int> shard, int world_size, int global_batch, int group_size) {
  if (shard.empty()) {
    return;
  }
  check(group_size > 0, "check_shard: the group size is positive");
  const std::string given = cat("--shard ", shard_text(shard), ": ");
  if (shard.size() != static_cast<size_t>(world_size)) {
    throw UsageError(cat(given, shard.size(), " numbers for ", world_size, " ranks"),
                     "Give one number a rank");
  }
  int64_t sum = 0;
  for (const int share : shard) {
    if (share < 0) {
      throw UsageError(cat(given, share, " is negative"));
    }
    sum += share;
  }
  if (sum != global_batch) {
    throw UsageError(cat(given, "sums to ", sum, ", the global batch is ", global_batch),
                     "The shares of all ranks make up the global batch");
  }
  const int remainder = global_batch % group_size;
  int uneven_ranks = 0;
  for (size_t rank = 0; rank < shard.size(); ++rank) {
    const int over = shard[rank] % group_size;
    uneven_ranks += over == 0 ? 0 : 1;
    if (over != 0 && (over != remainder || uneven_ranks > 1)) {
      const std::string allowed =
          remainder == 0 ? cat("multiples of ", group_size)
                         : cat("multiples of ", group_size, ", and for one rank ", remainder, " more");
      throw UsageError(
          cat(given, shard[rank], " pictures for rank ", rank, " are no whole groups: a batch of ",
              global_batch, " in groups of ", group_size, " allows ", allowed),
          "Change --shard or --bn-group");
    }
  }
}

std::vector<std::vector<int>> assign_groups(std::span<const int> groups, int world_size,
                                            std::span<const int> shard) {
  check(world_size > 0, "assign_groups: there is a rank");
  check(shard.empty() || shard.size() == static_cast<size_t>(world_size), "assign_groups: one share a rank");
  std::vector<std::vector<int>> by_rank(static_cast<size_t>(world_size));
  const int group_count = static_cast<int>(groups.size());
  if (shard.empty()) {
    int next = 0;
    for (int rank = 0; rank < world_size; ++rank) {
      const int share = group_count / world_size + (rank < group_count % world_size ? 1 : 0);
      for (int i = 0; i < share; ++i) {
        by_rank[static_cast<size_t>(rank)].push_back(next++);
      }
    }
    return by_rank;
  }
  std::vector<int> room(shard.begin(), shard.end());
  const auto largest = static_cast<size_t>(std::max_element(shard.begin(), shard.end()) - shard.begin());
  for (int group = 0; group < group_count; ++group) {
    const int size = groups[static_cast<size_t>(group)];
    const auto fitting = std::find_if(room.begin(), room.end(), [size](int left) { return left >= size; });
    const size_t rank = fitting == room.end() ? largest : static_cast<size_t>(fitting - room.begin());
    by_rank[rank].push_back(group);
    room[rank] -= size;
  }
  return by_rank;
}

}  // namespace yolodist::data
