// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/train/injected_shortage.h"

#include <gmock/gmock.h>

#include "common/base/error.h"
#include "tests/support/thrown.h"
#include "worker/memory/budget.h"

namespace yolodist::train {
namespace {

using memory::Phase;
using test::thrown;
using testing::HasSubstr;

constexpr int64_t mib = 1 << 20;

class InjectedShortageTest : public ::testing::Test {
 protected:
  void SetUp() override {
    memory::install_counting_allocator();
    memory::set_budget(memory::counters().current_bytes + 100 * mib);
  }
  void TearDown() override { memory::set_budget(0); }

  static int64_t left() { return memory::budget_bytes() - memory::counters().current_bytes; }
};

TEST_F(InjectedShortageTest, LeavesSoMuchInThatPhaseOfThatIteration) {
  InjectedShortage shortage("1:backward:7:3MiB", 1, at::kCPU);
  shortage.enter(Phase::backward, 6);
  shortage.enter(Phase::forward, 7);
  EXPECT_EQ(left(), 100 * mib);
  shortage.enter(Phase::backward, 7);
  EXPECT_EQ(left(), 3 * mib);
  shortage.give_back();
  EXPECT_EQ(left(), 100 * mib);
  shortage.enter(Phase::backward, 7);
  EXPECT_EQ(left(), 100 * mib) << "once";
}

TEST_F(InjectedShortageTest, ComesWithTheFirstSuchPhaseAfterItsIteration) {
  InjectedShortage shortage("0:validation:5:1MiB", 0, at::kCPU);
  shortage.enter(Phase::validation, 4);
  EXPECT_EQ(left(), 100 * mib);
  shortage.enter(Phase::validation, 9);
  EXPECT_EQ(left(), mib);
}

TEST_F(InjectedShortageTest, KeepsAReserveForGood) {
  InjectedShortage shortage("0:reserve:2:60MiB", 0, at::kCPU);
  shortage.enter(Phase::forward, 1);
  EXPECT_EQ(left(), 100 * mib);
  shortage.enter(Phase::forward, 2);
  EXPECT_EQ(left(), 40 * mib);
  shortage.give_back();
  EXPECT_EQ(left(), 40 * mib);
}

TEST_F(InjectedShortageTest, LeavesOtherRanksAloneAndWhoeverIsNotToBeShort) {
  for (const auto& [text, rank] : {std::pair{"1:forward:0:1MiB", 0}, {"", 0}}) {
    InjectedShortage shortage(text, rank, at::kCPU);
    shortage.enter(Phase::forward, 3);
    EXPECT_EQ(left(), 100 * mib) << text;
  }
}

TEST_F(InjectedShortageTest, TakesNothingWhereSoMuchIsNotLeftAnyway) {
  InjectedShortage shortage("0:forward:0:200MiB", 0, at::kCPU);
  shortage.enter(Phase::forward, 0);
  EXPECT_EQ(left(), 100 * mib);
}

TEST_F(InjectedShortageTest, KnowsThePhasesThatCanBeAnswered) {
  for (const Phase phase :
       {Phase::forward, Phase::loss, Phase::backward, Phase::optimizer, Phase::validation}) {
    InjectedShortage shortage(std::string("0:") + memory::name_of(phase) + ":0:1MiB", 0, at::kCPU);
    shortage.enter(phase, 0);
    EXPECT_EQ(left(), mib) << memory::name_of(phase);
  }
}

TEST_F(InjectedShortageTest, RefusesWhatCannotBeRead) {
  for (const char* text :
       {"1", "1:forward:0", "1:forward:0:1MiB:2", "one:forward:0:1MiB", "1:sleep:0:1MiB",
        "1:forward:soon:1MiB", "1:forward:0:much", ":::", "1:forward::1MiB", "1x:forward:0:1MiB",
        "1:forward:2nd:1MiB", "-1:forward:0:1MiB", "1:forward:-3:1MiB", "1:data:0:1MiB"}) {
    EXPECT_THAT(thrown<UsageError>([&] { InjectedShortage(text, 1, at::kCPU); }),
                HasSubstr("--inject-shortage"))
        << text;
  }
  EXPECT_THAT(thrown<UsageError>([] { InjectedShortage("1:sleep:0:1MiB", 0, at::kCPU); }),
              HasSubstr("RANK:PHASE:ITERATION:BYTES with forward"));
}

}  // namespace
}  // namespace yolodist::train
