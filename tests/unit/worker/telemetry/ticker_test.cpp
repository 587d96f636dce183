// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/telemetry/ticker.h"

#include <gtest/gtest.h>

#include <atomic>

#include "common/base/error.h"

namespace yolodist::telemetry {
namespace {

using namespace std::chrono_literals;

TEST(Ticker, CallsAtOnceAndAgainUntilItEnds) {
  std::atomic<int> calls{0};
  {
    const Ticker ticker(1ms, [&] { ++calls; });
    while (calls < 5) {
      std::this_thread::sleep_for(1ms);
    }
  }
  const int at_end = calls;
  std::this_thread::sleep_for(20ms);
  EXPECT_EQ(calls, at_end);
}

TEST(Ticker, EndsWithoutWaitingForTheNextCall) {
  std::atomic<int> calls{0};
  {
    const Ticker ticker(1h, [&] { ++calls; });
    while (calls < 1) {
      std::this_thread::sleep_for(1ms);
    }
  }
  EXPECT_EQ(calls, 1);
}

TEST(Ticker, GoesOnAfterAnError) {
  std::atomic<int> calls{0};
  const Ticker ticker(1ms, [&] {
    if (++calls < 4) {
      throw StorageError("no room");
    }
  });
  while (calls < 6) {
    std::this_thread::sleep_for(1ms);
  }
}

}  // namespace
}  // namespace yolodist::telemetry
