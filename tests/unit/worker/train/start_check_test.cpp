// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/train/start_check.h"

#include <gmock/gmock.h>

#include <thread>

#include "common/base/error.h"
#include "worker/comm/local_communicator.h"

namespace yolodist::train {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

// What each of three ranks throws; "" = nothing.
std::vector<std::string> compare(const std::vector<std::vector<Shared>>& of_rank) {
  auto communicators = comm::make_local_communicators(static_cast<int>(of_rank.size()));
  std::vector<std::string> thrown(of_rank.size());
  std::vector<std::thread> threads;
  for (size_t rank = 0; rank < of_rank.size(); ++rank) {
    threads.emplace_back([&, rank] {
      try {
        require_same(*communicators[rank], of_rank[rank]);
      } catch (const DataError& error) {
        thrown[rank] = error.what();
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  return thrown;
}

TEST(StartCheck, TheSameIsFine) {
  EXPECT_THAT(compare(std::vector<std::vector<Shared>>(3, {{"the plan", "a"}, {"the weights", "b"}})),
              testing::Each(""));
}

TEST(StartCheck, ADifferenceIsNamedOnEveryRank) {
  const std::vector<Shared> whole = {{"the plan", "a"}, {"the weights", "b"}};
  const std::vector<Shared> other = {{"the plan", "a"}, {"the weights", "c"}};
  const auto thrown = compare({whole, other, whole});
  EXPECT_THAT(thrown[0], AllOf(HasSubstr("the weights differs: rank 0 on "), HasSubstr(": b, rank 1 on "),
                               HasSubstr(": c"), Not(HasSubstr("the plan")), Not(HasSubstr("rank 2"))));
  EXPECT_EQ(thrown[1], thrown[0]);
  EXPECT_EQ(thrown[2], thrown[0]);
}

TEST(StartCheck, AListIsItsNamesInOrder) {
  const std::string ab = shared_list("x", {"a", "b"}).value;
  EXPECT_EQ(shared_list("x", {"a", "b"}).value, ab);
  EXPECT_NE(shared_list("x", {"b", "a"}).value, ab);
  EXPECT_NE(shared_list("x", {"ab"}).value, shared_list("x", {"a\nb"}).value);
  EXPECT_THAT(ab, HasSubstr("2 ("));
}

}  // namespace
}  // namespace yolodist::train
