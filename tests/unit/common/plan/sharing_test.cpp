// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/plan/sharing.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <functional>
#include <limits>

#include "tests/support/thrown.h"

namespace yolodist::plan {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr double never = std::numeric_limits<double>::infinity();

double slowest(const std::vector<std::vector<int>>& shares, const std::vector<int>& groups,
               const std::vector<double>& seconds) {
  double most = 0;
  for (size_t rank = 0; rank < shares.size(); ++rank) {
    double pictures = 0;
    for (const int group : shares[rank]) {
      pictures += groups[static_cast<size_t>(group)];
    }
    most = std::max(most, pictures == 0 ? 0 : pictures / groups.front() * seconds[rank]);
  }
  return most;
}

TEST(ShareGroups, CutsABatchIntoGroups) {
  EXPECT_THAT(groups_of_batch(16, 4), ElementsAre(4, 4, 4, 4));
  EXPECT_THAT(groups_of_batch(10, 4), ElementsAre(4, 4, 2));
  EXPECT_THAT(groups_of_batch(3, 4), ElementsAre(3));
}

TEST(ShareGroups, AlikeRanksShareEvenly) {
  EXPECT_THAT(share_groups({4, 4, 4, 4}, {1, 1, 1, 1}, {}),
              ElementsAre(ElementsAre(0), ElementsAre(1), ElementsAre(2), ElementsAre(3)));
  EXPECT_THAT(share_groups({4, 4, 4}, {1, 1}, {}), ElementsAre(ElementsAre(0, 1), ElementsAre(2)));
  EXPECT_THAT(share_groups({4, 2}, {1, 1}, {}), ElementsAre(ElementsAre(0), ElementsAre(1)));
}

TEST(ShareGroups, AFasterRankTakesMore) {
  EXPECT_THAT(share_groups({2, 2, 2, 2}, {1, 3}, {}), ElementsAre(ElementsAre(0, 1, 2), ElementsAre(3)));
}

TEST(ShareGroups, ARankThatCannotTakeAnyGetsNone) {
  EXPECT_THAT(share_groups({2, 2, 2}, {never, 1, 1}, {}),
              ElementsAre(IsEmpty(), ElementsAre(0, 1), ElementsAre(2)));
  EXPECT_THAT(share_groups({2, 2}, {never, never}, {}), ElementsAre(IsEmpty(), IsEmpty()));
}

TEST(ShareGroups, AShardDecidesAlone) {
  EXPECT_THAT(share_groups({2, 2, 2, 1}, {1, 1}, {5, 2}), ElementsAre(ElementsAre(0, 1, 3), ElementsAre(2)));
  EXPECT_THAT(share_groups({2, 2}, {1, 1}, {0, 4}), ElementsAre(IsEmpty(), ElementsAre(0, 1)));
}

// Every way to deal the groups, compared with the one that was found.
TEST(ShareGroups, NoOtherDealIsDoneSooner) {
  const std::vector<std::vector<double>> speeds = {{1, 1, 1}, {1, 2, 4}, {3, 1, 2}, {1, 1.5, never}};
  for (const std::vector<double>& seconds : speeds) {
    for (const std::vector<int>& groups :
         {std::vector<int>{2, 2, 2, 2}, {3, 3, 3, 3, 3, 1}, {4, 4, 4, 3}, {5, 2}, {2, 2, 2, 2, 2, 2, 2}}) {
      double best = never;
      std::vector<std::vector<int>> shares(seconds.size());
      const std::function<void(int)> deal = [&](int group) {
        if (group == static_cast<int>(groups.size())) {
          best = std::min(best, slowest(shares, groups, seconds));
          return;
        }
        for (std::vector<int>& share : shares) {
          share.push_back(group);
          deal(group + 1);
          share.pop_back();
        }
      };
      deal(0);
      EXPECT_NEAR(slowest(share_groups(groups, seconds, {}), groups, seconds), best, 1e-9);
    }
  }
}

TEST(CheckShard, RefusesWhatCannotBe) {
  const auto refusal = [](const std::vector<int>& shard) {
    return test::thrown<UsageError>([&] { check_shard(shard, 2, 10, 4); });
  };
  EXPECT_EQ(refusal({6, 4}), "");
  EXPECT_EQ(refusal({8, 2}), "");
  EXPECT_THAT(refusal({10}), HasSubstr("1 numbers for 2 ranks"));
  EXPECT_THAT(refusal({4, 4}), HasSubstr("sums to 8, the global batch is 10"));
  EXPECT_THAT(refusal({5, 5}), HasSubstr("no whole groups of 4"));
  EXPECT_THAT(refusal({-2, 12}), HasSubstr("no whole groups"));
}

}  // namespace
}  // namespace yolodist::plan
