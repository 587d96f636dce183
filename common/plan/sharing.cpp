// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/plan/sharing.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>

#include "common/base/error.h"
#include "common/base/text.h"

namespace yolodist::plan {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

// Full groups by rank, and who has the smaller last one (-1 = there is none).
struct Shares {
  std::vector<int> full;
  int last_rank = -1;
};

double slowest(const Shares& shares, const std::vector<double>& seconds, double last_share) {
  double most = 0;
  for (size_t rank = 0; rank < seconds.size(); ++rank) {
    const double groups = shares.full[rank] + (static_cast<int>(rank) == shares.last_rank ? last_share : 0);
    most = std::max(most, groups > 0 ? groups * seconds[rank] : 0);
  }
  return most;
}

Shares even_shares(int full_count, bool has_last, size_t ranks) {
  Shares shares;
  const int count = full_count + (has_last ? 1 : 0), world = static_cast<int>(ranks);
  for (int rank = 0; rank < world; ++rank) {
    shares.full.push_back(count / world + (rank < count % world ? 1 : 0));
  }
  if (has_last) {
    shares.last_rank = std::min(count, world) - 1;
    --shares.full[static_cast<size_t>(shares.last_rank)];
  }
  return shares;
}

// Each next group to the rank that is done with it first: that is the least possible for the slowest.
Shares fastest_shares(int full_count, int last_rank, const std::vector<double>& seconds, double last_share) {
  Shares shares{std::vector<int>(seconds.size(), 0), last_rank};
  for (int group = 0; group < full_count; ++group) {
    size_t best = 0;
    double best_done = infinity;
    for (size_t rank = 0; rank < seconds.size(); ++rank) {
      const double before = shares.full[rank] + (static_cast<int>(rank) == last_rank ? last_share : 0);
      const double done = (before + 1) * seconds[rank];
      if (done < best_done) {
        best_done = done;
        best = rank;
      }
    }
    ++shares.full[best];
  }
  return shares;
}

std::vector<std::vector<int>> groups_by_rank(const Shares& shares, int group_count) {
  std::vector<std::vector<int>> by_rank(shares.full.size());
  int next = 0;
  for (size_t rank = 0; rank < by_rank.size(); ++rank) {
    for (int i = 0; i < shares.full[rank]; ++i) {
      by_rank[rank].push_back(next++);
    }
  }
  if (shares.last_rank >= 0) {
    by_rank[static_cast<size_t>(shares.last_rank)].push_back(group_count - 1);
  }
  return by_rank;
}

Shares shares_of_shard(const std::vector<int>& shard, int bn_group, bool has_last) {
  Shares shares;
  for (size_t rank = 0; rank < shard.size(); ++rank) {
    shares.full.push_back(shard[rank] / bn_group);
    if (has_last && shard[rank] % bn_group != 0) {
      shares.last_rank = static_cast<int>(rank);
    }
  }
  return shares;
}

}  // namespace

std::vector<int> groups_of_batch(int global_batch, int bn_group) {
  check(global_batch > 0 && bn_group > 0, "batch and group are positive");
  std::vector<int> groups;
  for (int left = global_batch; left > 0; left -= groups.back()) {
    groups.push_back(std::min(left, bn_group));
  }
  return groups;
}

void check_shard(const std::vector<int>& shard, int world_size, int global_batch, int bn_group) {
  std::vector<std::string> numbers;
  for (const int share : shard) {
    numbers.push_back(std::to_string(share));
  }
  const std::string given = cat("--shard ", join(numbers, ","), ": ");
  if (static_cast<int>(shard.size()) != world_size) {
    throw UsageError(cat(given, shard.size(), " numbers for ", world_size, " ranks"),
                     "Give one number a rank.");
  }
  const int64_t sum = std::accumulate(shard.begin(), shard.end(), int64_t{0});
  if (sum != global_batch) {
    throw UsageError(cat(given, "sums to ", sum, ", the global batch is ", global_batch),
                     "The shares of all ranks make up the global batch.");
  }
  const int remainder = global_batch % bn_group;
  int uneven_ranks = 0;
  for (const int share : shard) {
    const int over = share % bn_group;
    uneven_ranks += over == 0 ? 0 : 1;
    if (share < 0 || (over != 0 && (over != remainder || uneven_ranks > 1))) {
      throw UsageError(cat(given, share, " pictures are no whole groups of ", bn_group),
                       remainder == 0
                           ? cat("Use multiples of ", bn_group, ", or another --bn-group.")
                           : cat("Use multiples of ", bn_group, ", and for one rank ", remainder, " more."));
    }
  }
}

std::vector<std::vector<int>> share_groups(const std::vector<int>& groups, const std::vector<double>& seconds,
                                           const std::vector<int>& shard) {
  const int bn_group = groups.front(), count = static_cast<int>(groups.size());
  const bool has_last = groups.back() < bn_group;
  const int full_count = count - (has_last ? 1 : 0);
  if (!shard.empty()) {
    return groups_by_rank(shares_of_shard(shard, bn_group, has_last), count);
  }
  if (std::none_of(seconds.begin(), seconds.end(), [](double s) { return std::isfinite(s); })) {
    return std::vector<std::vector<int>>(seconds.size());
  }
  const double last_share = static_cast<double>(groups.back()) / bn_group;
  Shares best = even_shares(full_count, has_last, seconds.size());
  double best_seconds = slowest(best, seconds, last_share);
  for (int last_rank = static_cast<int>(seconds.size()) - 1; last_rank >= 0; --last_rank) {
    const Shares shares = fastest_shares(full_count, has_last ? last_rank : -1, seconds, last_share);
    const double slowest_seconds = slowest(shares, seconds, last_share);
    constexpr double worth_it = 1 - 1e-9;
    if (slowest_seconds < best_seconds * worth_it ||
        (std::isinf(best_seconds) && std::isfinite(slowest_seconds))) {
      best = shares;
      best_seconds = slowest_seconds;
    }
    if (!has_last) {
      break;
    }
  }
  return groups_by_rank(best, count);
}

}  // namespace yolodist::plan
