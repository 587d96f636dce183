// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/train/row_exchange.h"

#include <gmock/gmock.h>

#include "common/base/error.h"
#include "worker/comm/local_communicator.h"

namespace yolodist::train {
namespace {

using testing::ElementsAre;

using Rows = std::vector<std::vector<double>>;

RankReport report_of(int rank, bool ran_out = false) {
  return {.ran_out = ran_out,
          .lost_link = rank == 3,
          .current_bytes = (int64_t{1} << 52) + rank,  // exact in a double
          .peak_bytes = 2000 + rank,
          .reserved_bytes = 3000 + rank,
          .ready_ms = 0.1 * rank};
}

// Two values that tell a group.
std::vector<double> row_of(int group) {
  return {group + 0.25, -group / 3.0};
}

// Every rank sends the rows of its groups, but for the last `missing[rank]` of them, and looks at what it
// gets.
template <typename Look>
void exchange(const std::vector<std::vector<int>>& groups_of_rank, const std::vector<int>& missing,
              const Look& look) {
  comm::run_local_ranks(static_cast<int>(groups_of_rank.size()), [&](comm::Communicator& communicator) {
    const auto rank = static_cast<size_t>(communicator.rank());
    Rows rows;
    for (const int group : groups_of_rank[rank]) {
      rows.push_back(row_of(group));
    }
    rows.resize(rows.size() - static_cast<size_t>(missing[rank]));
    RowExchange exchange(groups_of_rank, 2);
    exchange.start(communicator, report_of(communicator.rank(), missing[rank] > 0), rows);
    exchange.finish();
    look(exchange);
  });
}

TEST(RowExchange, GivesAllRanksTheRowsInTheOrderOfTheGroups) {
  for (const auto& groups_of_rank :
       {std::vector<std::vector<int>>{{0, 1, 2}}, {{0, 1}, {2}}, {{2, 0}, {3}, {1}}, {{0}, {1}, {2}, {3}}}) {
    exchange(groups_of_rank, std::vector<int>(groups_of_rank.size(), 0), [&](RowExchange& exchange) {
      EXPECT_FALSE(exchange.anyone_ran_out());
      for (size_t group = 0; group < exchange.rows().size(); ++group) {
        EXPECT_EQ(exchange.rows()[group], row_of(static_cast<int>(group)));
      }
    });
  }
}

TEST(RowExchange, GivesAllRanksTheReportsOfAll) {
  exchange({{0}, {1}, {2}}, {0, 0, 0}, [](RowExchange& exchange) {
    ASSERT_EQ(exchange.reports().size(), 3u);
    for (int rank = 0; rank < 3; ++rank) {
      const RankReport& found = exchange.reports()[static_cast<size_t>(rank)];
      const RankReport expected = report_of(rank);
      EXPECT_EQ(found.ran_out, expected.ran_out);
      EXPECT_EQ(found.lost_link, expected.lost_link);
      EXPECT_EQ(found.current_bytes, expected.current_bytes);
      EXPECT_EQ(found.peak_bytes, expected.peak_bytes);
      EXPECT_EQ(found.reserved_bytes, expected.reserved_bytes);
      EXPECT_EQ(found.ready_ms, expected.ready_ms);
    }
  });
}

TEST(RowExchange, TellsAllOfALostLink) {
  exchange({{0}, {1}, {2}, {3}}, {0, 0, 0, 0}, [](RowExchange& exchange) {
    EXPECT_TRUE(exchange.anyone_lost_link());
    EXPECT_FALSE(exchange.reports()[2].lost_link);
    EXPECT_TRUE(exchange.reports()[3].lost_link);
  });
  exchange({{0}, {1}}, {0, 0}, [](RowExchange& exchange) { EXPECT_FALSE(exchange.anyone_lost_link()); });
}

TEST(RowExchange, TakesRanksWithoutGroups) {
  exchange({{}, {0, 1}, {}, {2}}, {0, 0, 0, 0}, [](RowExchange& exchange) {
    EXPECT_THAT(exchange.rows(), ElementsAre(row_of(0), row_of(1), row_of(2)));
    EXPECT_EQ(exchange.reports()[2].peak_bytes, 2002);
  });
  exchange({{}, {}}, {0, 0}, [](RowExchange& exchange) {
    EXPECT_TRUE(exchange.rows().empty());
    EXPECT_EQ(exchange.reports().size(), 2u);
  });
}

TEST(RowExchange, TakesFewerRowsOfARankThatRanOut) {
  exchange({{0, 1, 2}, {3, 4}}, {2, 0}, [](RowExchange& exchange) {
    EXPECT_TRUE(exchange.anyone_ran_out());
    EXPECT_TRUE(exchange.reports()[0].ran_out);
    EXPECT_FALSE(exchange.reports()[1].ran_out);
    EXPECT_EQ(exchange.rows()[0], row_of(0));
    EXPECT_EQ(exchange.rows()[3], row_of(3)) << "the others' rows are in their places";
    EXPECT_EQ(exchange.rows()[4], row_of(4));
  });
  exchange({{0}, {1}}, {0, 1}, [](RowExchange& exchange) {
    EXPECT_TRUE(exchange.anyone_ran_out()) << "also on a rank that did not itself";
    EXPECT_EQ(exchange.rows()[0], row_of(0));
  });
}

TEST(RowExchange, RefusesRowsOfAnotherLength) {
  const std::vector<std::vector<int>> groups_of_rank = {{0}};
  comm::run_local_ranks(1, [&](comm::Communicator& communicator) {
    RowExchange exchange(groups_of_rank, 2);
    EXPECT_THROW(exchange.start(communicator, {}, {{1, 2, 3}}), InternalError);
  });
}

}  // namespace
}  // namespace yolodist::train
