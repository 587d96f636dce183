// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/memory/holders.h"

#include <gmock/gmock.h>

#include <thread>

namespace yolodist::memory {

static bool operator==(const Holder& a, const Holder& b) {
  return a.kind == b.kind && a.layer == b.layer && a.bytes == b.bytes;
}

namespace {

using testing::ElementsAre;
using testing::IsEmpty;

Mark mark_of(Kind kind, int layer) {
  return {.kind = kind, .layer = layer};
}

TEST(HolderSums, AreByKindAndLayerTheLargestFirst) {
  HolderSums sums;
  sums.add(Kind::activations, 4, 100);
  sums.add(Kind::activations, 4, 200);
  sums.add(Kind::transient, 4, 1000);
  sums.add(Kind::ema, -1, 10);
  sums.add(Kind::loss, 7, 5);
  sums.add(Kind::loss, 7, -5);
  sums.add(Kind::host, 4, 1'000'000);
  EXPECT_THAT(sums.holders(), ElementsAre(Holder{Kind::transient, 4, 1000}, Holder{Kind::activations, 4, 300},
                                          Holder{Kind::ema, -1, 10}));
}

TEST(HolderSums, LayersBeyondItsSlotsAreNone) {
  HolderSums sums;
  sums.add(Kind::loss, 1023, 1);
  sums.add(Kind::loss, 1024, 2);
  sums.add(Kind::loss, 70'000, 4);
  EXPECT_THAT(sums.holders(), ElementsAre(Holder{Kind::loss, -1, 6}, Holder{Kind::loss, 1023, 1}));
}

TEST(AddressedHolders, GiveBackWhatTheAddressTook) {
  AddressedHolders holders;
  holders.take(0x1000, 512, mark_of(Kind::activations, 3));
  holders.take(0x2000, 1024, mark_of(Kind::transient, -1));
  holders.give_back(0x1000);
  EXPECT_THAT(holders.holders(), ElementsAre(Holder{Kind::transient, -1, 1024}));
  // The address is used again, for something else.
  holders.take(0x1000, 2048, mark_of(Kind::loss, 9));
  EXPECT_THAT(holders.holders(), ElementsAre(Holder{Kind::loss, 9, 2048}, Holder{Kind::transient, -1, 1024}));
  holders.give_back(0x1000);
  holders.give_back(0x2000);
  EXPECT_THAT(holders.holders(), IsEmpty());
}

// What was taken before anybody watched.
TEST(AddressedHolders, DoNotMindWhatTheyDoNotKnow) {
  AddressedHolders holders;
  holders.give_back(0x3000);
  EXPECT_THAT(holders.holders(), IsEmpty());
}

TEST(AddressedHolders, CountForSeveralThreads) {
  AddressedHolders holders;
  constexpr int threads = 4, rounds = 2000;
  std::vector<std::jthread> running;
  for (int thread = 0; thread < threads; ++thread) {
    running.emplace_back([&holders, thread] {
      for (int round = 0; round < rounds; ++round) {
        const auto address = static_cast<uintptr_t>(1 + thread * rounds + round) << 9;
        holders.take(address, 512, mark_of(Kind::activations, thread % 2));
        if (round % 4 != 0) {
          holders.give_back(address);
        }
      }
    });
  }
  running.clear();  // joins
  constexpr int64_t left = int64_t{threads} / 2 * (rounds / 4) * 512;
  EXPECT_THAT(holders.holders(),
              ElementsAre(Holder{Kind::activations, 0, left}, Holder{Kind::activations, 1, left}));
}

TEST(Holders, AreMergedByKindAndLayer) {
  EXPECT_THAT(merged({{Kind::gradients, -1, 10}, {Kind::loss, 2, 30}, {Kind::gradients, -1, 25}}),
              ElementsAre(Holder{Kind::gradients, -1, 35}, Holder{Kind::loss, 2, 30}));
}

}  // namespace
}  // namespace yolodist::memory
