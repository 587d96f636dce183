// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/supervise/sleep_rhythm.h"

#include <algorithm>

namespace yolodist::supervise {
namespace {

using namespace std::chrono_literals;

// A peer has not come yet: the longer it takes, the less another moment matters.
constexpr std::chrono::nanoseconds shortest_sleep = 50us;
constexpr std::chrono::nanoseconds longest_sleep = 1ms;
constexpr int share_of_wait = 16;
// A transfer that takes this long is stuck behind a peer that does not get a core.
constexpr std::chrono::nanoseconds long_wait = 20ms;

}  // namespace

std::chrono::nanoseconds SleepRhythm::next() const {
  const std::chrono::nanoseconds waited = std::chrono::steady_clock::now() - since_;
  return std::clamp(waited / share_of_wait, shortest_sleep, longest_sleep);
}

bool SleepRhythm::is_long() const {
  return std::chrono::steady_clock::now() - since_ > long_wait;
}

}  // namespace yolodist::supervise
