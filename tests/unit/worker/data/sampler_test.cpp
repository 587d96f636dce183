// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/data/sampler.h"

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/error.h"

namespace yolodist::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Assignment = std::vector<std::vector<int>>;

TEST(EpochOrder, IsAPermutationThatDependsOnSeedAndEpoch) {
  const std::vector<int> order = epoch_order(1, 0, 500);
  std::vector<int> sorted = order;
  std::sort(sorted.begin(), sorted.end());
  std::vector<int> expected(500);
  std::iota(expected.begin(), expected.end(), 0);
  EXPECT_EQ(sorted, expected);
  EXPECT_NE(order, expected);
  EXPECT_EQ(order, epoch_order(1, 0, 500));
  EXPECT_NE(order, epoch_order(1, 1, 500));
  EXPECT_NE(order, epoch_order(2, 0, 500));
  EXPECT_THAT(epoch_order(1, 0, 0), IsEmpty());
}

TEST(EpochOrder, GivesEachPlaceToEachPicture) {
  std::vector<int> first_places(5);
  for (int epoch = 0; epoch < 1000; ++epoch) {
    ++first_places[static_cast<size_t>(epoch_order(0, epoch, 5)[0])];
  }
  for (const int count : first_places) {
    EXPECT_NEAR(count, 200, 65);  // five deviations
  }
}

TEST(Batches, LastOneIsSmallerAndNoneLargerThanTheSet) {
  EXPECT_THAT(batches_of(10, 4), ElementsAre(Stretch{0, 4}, Stretch{4, 4}, Stretch{8, 2}));
  EXPECT_THAT(batches_of(8, 4), ElementsAre(Stretch{0, 4}, Stretch{4, 4}));
  EXPECT_THAT(batches_of(3, 16), ElementsAre(Stretch{0, 3}));
  EXPECT_THAT(batches_of(0, 16), IsEmpty());
}

TEST(Groups, CutABatchInOrder) {
  EXPECT_THAT(groups_of(7, 2), ElementsAre(2, 2, 2, 1));
  EXPECT_THAT(groups_of(8, 3), ElementsAre(3, 3, 2));
  EXPECT_THAT(groups_of(3, 16), ElementsAre(3));
  EXPECT_THAT(group_stretches(groups_of(7, 3)), ElementsAre(Stretch{0, 3}, Stretch{3, 3}, Stretch{6, 1}));
}

TEST(AssignGroups, IsEvenWithLargerSharesFirst) {
  EXPECT_EQ(assign_groups(groups_of(8, 3), 3, {}), (Assignment{{0}, {1}, {2}}));
  EXPECT_EQ(assign_groups(groups_of(7, 2), 3, {}), (Assignment{{0, 1}, {2}, {3}}));
  EXPECT_EQ(assign_groups(groups_of(7, 2), 2, {}), (Assignment{{0, 1}, {2, 3}}));
  EXPECT_EQ(assign_groups(groups_of(7, 2), 1, {}), (Assignment{{0, 1, 2, 3}}));
  EXPECT_EQ(assign_groups(groups_of(2, 2), 3, {}), (Assignment{{0}, {}, {}}));
}

TEST(AssignGroups, FollowsAShard) {
  const std::vector<int> shard = {1, 2, 4};
  EXPECT_EQ(assign_groups(groups_of(7, 2), 3, shard), (Assignment{{3}, {0}, {1, 2}}));
}

TEST(AssignGroups, FillsRanksInOrderInASmallerLastBatch) {
  const std::vector<int> shard = {1, 2, 4};
  EXPECT_EQ(assign_groups(groups_of(6, 2), 3, shard), (Assignment{{}, {0}, {1, 2}}));
  EXPECT_EQ(assign_groups(groups_of(3, 2), 3, shard), (Assignment{{1}, {0}, {}}));
  EXPECT_EQ(assign_groups(groups_of(1, 2), 3, shard), (Assignment{{0}, {}, {}}));
}

TEST(AssignGroups, RunsEachGroupOnceForEveryShardAndLastBatch) {
  for (const std::vector<int>& shard : {std::vector<int>{1, 2, 4}, {3, 4}, {4, 3}, {0, 7}, {5, 2}}) {
    const int world_size = static_cast<int>(shard.size());
    EXPECT_NO_THROW(check_shard(shard, world_size, 7, 2));
    for (int batch = 1; batch <= 7; ++batch) {
      const std::vector<int> groups = groups_of(batch, 2);
      std::vector<int> all;
      const Assignment assignment = assign_groups(groups, world_size, shard);
      for (size_t rank = 0; rank < shard.size(); ++rank) {
        int pictures = 0;
        for (const int group : assignment[rank]) {
          all.push_back(group);
          pictures += groups[static_cast<size_t>(group)];
        }
        EXPECT_LE(pictures, shard[rank]);
      }
      std::sort(all.begin(), all.end());
      EXPECT_EQ(all.size(), groups.size());
      EXPECT_EQ(std::unique(all.begin(), all.end()), all.end());
    }
  }
}

TEST(AssignGroups, GivesWhatFitsNowhereToTheLargestShare) {
  EXPECT_EQ(assign_groups(std::vector<int>{3, 3}, 3, std::vector<int>{1, 4, 2}),
            (Assignment{{}, {0, 1}, {}}));
}

std::string shard_error(const std::vector<int>& shard, int world_size, int batch, int group_size) {
  try {
    check_shard(shard, world_size, batch, group_size);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "";
}

TEST(CheckShard, ExplainsWhatIsWrong) {
  EXPECT_EQ(shard_error({}, 3, 7, 2), "");
  EXPECT_EQ(shard_error({1, 2, 4}, 3, 7, 2), "");
  EXPECT_THAT(shard_error({3, 4}, 3, 7, 2), HasSubstr("2 numbers for 3 ranks"));
  EXPECT_THAT(shard_error({1, 2, 5}, 3, 7, 2), HasSubstr("sums to 8, the global batch is 7"));
  EXPECT_THAT(shard_error({-1, 4, 4}, 3, 7, 2), HasSubstr("-1 is negative"));
  EXPECT_THAT(shard_error({1, 1, 5}, 3, 7, 2), HasSubstr("1 pictures for rank 1 are no whole groups"));
  EXPECT_THAT(shard_error({3, 5}, 2, 8, 2), HasSubstr("allows multiples of 2"));
  EXPECT_THAT(shard_error({2, 5}, 2, 7, 4), HasSubstr("multiples of 4, and for one rank 3 more"));
}

}  // namespace
}  // namespace yolodist::data
