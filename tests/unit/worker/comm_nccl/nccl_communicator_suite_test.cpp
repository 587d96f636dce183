// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
// What every communicator has to do, and exchanges, over the double.
#include <gtest/gtest.h>

#include <tuple>

#include "common/base/error.h"
#include "tests/support/communicator_suite.h"
#include "tests/support/nccl_double.h"
#include "tests/support/nccl_ranks.h"

namespace yolodist::comm {
namespace {

using namespace std::chrono_literals;
namespace nccl_double = test::nccl_double;
using Transfer = NcclCommunicator::Transfer;

class NcclCommunicatorSuite : public testing::TestWithParam<std::tuple<CommunicatorCase, int>> {};

TEST_P(NcclCommunicatorSuite, OnThreads) {
  const auto& [one, ranks] = GetParam();
  test::on_nccl_threads(ranks, one.run);
  EXPECT_EQ(nccl_double::misuse(), std::vector<std::string>{});
  EXPECT_GT(nccl_double::calls("ncclCommInitRankConfig"), 0);
}

INSTANTIATE_TEST_SUITE_P(Cases, NcclCommunicatorSuite,
                         testing::Combine(testing::ValuesIn(communicator_cases()),
                                          testing::Values(1, 2, 3, 4)),
                         [](const auto& tested) {
                           return std::string(std::get<0>(tested.param).name) + "_" +
                                  std::to_string(std::get<1>(tested.param));
                         });

class NcclRanks : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Ranks, NcclRanks, testing::Values(1, 2, 3, 4));

TEST_P(NcclRanks, RunTheSuiteAsProcesses) {
  test::in_processes(GetParam(), [](int rank, const std::string& id) {
    NcclCommunicator communicator(test::nccl_setup(rank, GetParam(), id), Deadline::after(20s));
    for (const CommunicatorCase& one : communicator_cases()) {
      SCOPED_TRACE(one.name);
      one.run(communicator);
    }
    EXPECT_EQ(nccl_double::misuse(), std::vector<std::string>{});
  });
}

// To the right and to the left at once, which only a group can do without waiting for ever.
TEST_P(NcclRanks, ExchangeInARing) {
  test::on_nccl_threads(GetParam(), [n = GetParam()](NcclCommunicator& c) {
    const int right = (c.rank() + 1) % n, left = (c.rank() + n - 1) % n;
    for (const size_t count : {size_t{1}, size_t{100000}}) {
      std::vector<int> to_right(count, c.rank()), to_left(count, -c.rank()), from_left(count, 99),
          from_right(count, 99);
      const size_t bytes = count * sizeof(int);
      const std::vector<Transfer> sends = {{to_right.data(), bytes, right}, {to_left.data(), bytes, left}};
      const std::vector<Transfer> receives = {{from_left.data(), bytes, left},
                                              {from_right.data(), bytes, right}};
      c.exchange(sends, receives)->wait(suite_deadline());
      EXPECT_EQ(from_left, std::vector<int>(count, left));
      EXPECT_EQ(from_right, std::vector<int>(count, -right));
    }
    c.exchange({}, {})->wait(suite_deadline());
  });
  EXPECT_EQ(nccl_double::misuse(), std::vector<std::string>{});
}

// As a pipeline does: the first ranks hand on, while others are at nothing.
TEST(NcclExchange, ConcernsOnlyWhoTakesPart) {
  test::on_nccl_threads(3, [](NcclCommunicator& c) {
    double value = c.rank() == 0 ? 7.5 : 0;
    const std::vector<Transfer> one = {{&value, sizeof(value), c.rank() == 0 ? 1 : 0}};
    if (c.rank() == 0) {
      c.exchange(one, {})->wait(suite_deadline());
    } else if (c.rank() == 1) {
      c.exchange({}, one)->wait(suite_deadline());
      EXPECT_EQ(value, 7.5);
    }
    std::vector<int64_t> ranks = {1};
    all_reduce_sum(c, std::span<int64_t>(ranks), suite_deadline());
    EXPECT_EQ(ranks[0], 3);
  });
}

TEST(NcclCommunicatorOverTheDouble, ChecksItsArguments) {
  test::on_nccl_threads(1, [](NcclCommunicator& c) {
    int value = 0;
    EXPECT_THROW(c.broadcast(&value, sizeof(value), 1), InternalError);
    EXPECT_TRUE(c.allocate_shared(0).empty());
    const std::span<std::byte> memory = c.allocate_shared(100);
    EXPECT_EQ(memory[99], std::byte{0});
    EXPECT_THROW(c.allocate_shared(1), InternalError);
  });
}

}  // namespace
}  // namespace yolodist::comm
