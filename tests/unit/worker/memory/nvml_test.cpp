// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/memory/nvml.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace yolodist::memory {
namespace {

constexpr int64_t gib = int64_t{1} << 30, mib = int64_t{1} << 20;

// What the stand-in for the driver's library says of "GPU-1000-card", of 2 GiB. `processes`: see
// tests/support/fake_nvml.cpp.
std::optional<CardUse> read_card(const char* processes, const std::string& uuid = "GPU-1000-card") {
  ::setenv("FAKE_NVML", "", 1);
  ::setenv("FAKE_NVML_PROCESSES", processes, 1);
  const CardReader reader(uuid, YOLODIST_FAKE_NVML);
  std::optional<CardUse> use = reader.read();
  ::unsetenv("FAKE_NVML_PROCESSES");
  ::unsetenv("FAKE_NVML");
  return use;
}

TEST(CardReader, TellsOwnMemoryFromThatOfOtherProcesses) {
  const std::optional<CardUse> use = read_card("own 100, 7 30, 8 4");
  ASSERT_TRUE(use);
  EXPECT_EQ(use->total_bytes, 2 * gib);
  EXPECT_EQ(use->used_bytes, gib);
  EXPECT_EQ(use->others_bytes, 34 * mib);
  EXPECT_EQ(read_card("own 100")->others_bytes, 0);
}

TEST(CardReader, AsksAgainWhereThereAreManyProcesses) {
  std::string many = "own 1";
  for (int pid = 2; pid < 150; ++pid) {
    many += ", " + std::to_string(pid) + " 1";
  }
  EXPECT_EQ(read_card(many.c_str())->others_bytes, 148 * mib);
}

// As in a container, where the numbers of processes are other ones, or none are shown.
TEST(CardReader, DoesNotGuessWhereItDoesNotSeeItself) {
  EXPECT_EQ(read_card("7 30, 8 4")->others_bytes, std::nullopt);
  EXPECT_EQ(read_card("")->others_bytes, std::nullopt);
  EXPECT_EQ(read_card("own 100, 7 hidden")->others_bytes, std::nullopt) << "a size that is not told";
  EXPECT_EQ(read_card("refused")->others_bytes, std::nullopt);
  EXPECT_EQ(read_card("refused")->used_bytes, gib);
}

TEST(CardReader, WhateverIsMissingIsNoError) {
  EXPECT_FALSE(read_card("own 100", "GPU-of-another-host"));
  EXPECT_FALSE(read_card("own 100", ""));
  EXPECT_FALSE(CardReader("GPU-1000-card", "libnvidia-ml-that-is-not-there.so.1").read());
  EXPECT_FALSE(CardReader("GPU-1000-card", "libm.so.6").read()) << "another library";
}

}  // namespace
}  // namespace yolodist::memory
