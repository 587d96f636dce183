// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/comm/local_communicator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <cstring>

#include "common/base/error.h"
#include "tests/support/thrown.h"

namespace yolodist::comm {
namespace {

using namespace std::chrono_literals;

Deadline soon() {
  return Deadline::after(20s);
}

class LocalCommunicatorTest : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Ranks, LocalCommunicatorTest, testing::Values(1, 2, 3, 4));

TEST_P(LocalCommunicatorTest, ReducesEveryTypeAndOperation) {
  const int n = GetParam();
  run_local_ranks(n, [n](Communicator& c) {
    std::vector<float> f32 = {1.5f, static_cast<float>(c.rank())};
    std::vector<double> f64 = {0.25, static_cast<double>(-c.rank())};
    std::vector<int64_t> i64 = {c.rank(), -c.rank()};
    const auto a = c.all_reduce(f32.data(), 2, Dtype::f32, Reduction::sum);
    const auto b = c.all_reduce(f64.data(), 2, Dtype::f64, Reduction::min);
    all_reduce_max(c, i64, soon());
    b->wait(soon());
    a->wait(soon());
    EXPECT_TRUE(a->is_done());
    EXPECT_EQ(f32, (std::vector<float>{1.5f * static_cast<float>(n), static_cast<float>(n * (n - 1) / 2)}));
    EXPECT_EQ(f64, (std::vector<double>{0.25, static_cast<double>(1 - n)}));
    EXPECT_EQ(i64, (std::vector<int64_t>{n - 1, 0}));
    EXPECT_EQ(c.all_reduce_count(), 3);
    EXPECT_EQ(c.world_size(), n);
  });
}

TEST_P(LocalCommunicatorTest, GivesAllRanksTheSameBits) {
  std::vector<std::vector<double>> results(static_cast<size_t>(GetParam()), std::vector<double>(1000));
  run_local_ranks(GetParam(), [&](Communicator& c) {
    std::vector<double>& mine = results[static_cast<size_t>(c.rank())];
    for (size_t i = 0; i < mine.size(); ++i) {
      mine[i] = std::sin(static_cast<double>(i) + c.rank()) * std::pow(10, c.rank());
    }
    all_reduce_sum(c, std::span(mine), soon());
  });
  for (const std::vector<double>& result : results) {
    EXPECT_EQ(std::memcmp(result.data(), results[0].data(), result.size() * sizeof(double)), 0);
  }
}

TEST_P(LocalCommunicatorTest, GathersAndBroadcasts) {
  const int n = GetParam();
  run_local_ranks(n, [n](Communicator& c) {
    const int mine[2] = {c.rank(), 10 * c.rank()};
    std::vector<int> all(static_cast<size_t>(2 * n));
    c.all_gather(mine, sizeof(mine), all.data())->wait(soon());
    for (int r = 0; r < n; ++r) {
      EXPECT_EQ(all[static_cast<size_t>(2 * r + 1)], 10 * r);
    }
    for (int root = 0; root < n; ++root) {
      int value = c.rank() == root ? 100 + root : 0;
      c.broadcast(&value, sizeof(value), root)->wait(soon());
      EXPECT_EQ(value, 100 + root);
    }
    const std::vector<std::string> texts =
        all_gather_strings(c, std::string(static_cast<size_t>(c.rank()), 'x'), soon());
    ASSERT_EQ(texts.size(), static_cast<size_t>(n));
    for (size_t r = 0; r < texts.size(); ++r) {
      EXPECT_EQ(texts[r], std::string(r, 'x'));
    }
  });
}

TEST_P(LocalCommunicatorTest, KeepsManyCollectivesApart) {
  run_local_ranks(GetParam(), [n = GetParam()](Communicator& c) {
    std::vector<int64_t> values(200);
    std::vector<std::unique_ptr<Work>> works;
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] = static_cast<int64_t>(i);
      works.push_back(c.all_reduce(&values[i], 1, Dtype::i64, Reduction::sum));
    }
    for (size_t i = values.size(); i-- > 0;) {
      works[i]->wait(soon());
      EXPECT_EQ(values[i], static_cast<int64_t>(i) * n);
    }
  });
}

TEST(LocalCommunicator, SharedMemoryIsAlignedAndGivenOnce) {
  const auto communicators = make_local_communicators(1);
  const std::span<std::byte> memory = communicators[0]->allocate_shared(100);
  EXPECT_EQ(memory.size(), 100u);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(memory.data()) % 64, 0u);
  EXPECT_EQ(memory[99], std::byte{0});
  EXPECT_THROW(communicators[0]->allocate_shared(1), InternalError);
}

TEST(LocalCommunicator, AMissingRankIsAPeerLost) {
  const auto communicators = make_local_communicators(2);
  int64_t value = 1;
  const auto work = communicators[0]->all_reduce(&value, 1, Dtype::i64, Reduction::sum);
  EXPECT_FALSE(work->is_done());
  EXPECT_THAT(test::thrown<PeerLost>([&] { work->wait(Deadline::after(20ms)); }),
              testing::HasSubstr("only 1 of 2 ranks"));
}

TEST(LocalCommunicator, CallsThatDifferFailOnEveryRank) {
  EXPECT_THROW(run_local_ranks(2,
                               [](Communicator& c) {
                                 int64_t values[2] = {1, 1};
                                 const auto work = c.all_reduce(values, static_cast<size_t>(c.rank() + 1),
                                                                Dtype::i64, Reduction::sum);
                                 EXPECT_THROW(work->wait(soon()), InternalError);
                                 work->wait(soon());
                               }),
               InternalError);
}

TEST(SizeOf, IsThatOfTheType) {
  EXPECT_EQ(size_of(Dtype::f32), 4u);
  EXPECT_EQ(size_of(Dtype::f64), 8u);
  EXPECT_EQ(size_of(Dtype::i64), 8u);
}

}  // namespace
}  // namespace yolodist::comm
