// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/comm/nccl_communicator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "common/base/error.h"

namespace yolodist::comm {
namespace {

NcclSetup one_rank(int device_index) {
  NcclSetup setup;
  setup.unique_id = NcclCommunicator::make_unique_id();
  setup.device_index = device_index;
  return setup;
}

TEST(NcclCommunicator, MakesDifferentIdsWithoutADevice) {
  const std::string first = NcclCommunicator::make_unique_id();
  EXPECT_EQ(first.size(), 128U);
  EXPECT_NE(first, NcclCommunicator::make_unique_id());
}

TEST(NcclCommunicator, SaysThatThereIsNoDriver) {
  if (std::filesystem::exists("/dev/nvidiactl")) {
    GTEST_SKIP() << "this machine has an NVIDIA driver";
  }
  const NcclSetup setup = one_rank(0);
  const auto begin = std::chrono::steady_clock::now();
  try {
    const NcclCommunicator communicator(setup, Deadline::after(std::chrono::seconds(30)));
    FAIL() << "made a communicator";
  } catch (const DeviceUnavailable& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("no usable CUDA device: "));
    EXPECT_THAT(error.hint(), testing::HasSubstr("--device cpu"));
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
}

TEST(NcclCommunicator, RefusesADeviceThatIsNotThere) {
  const NcclSetup setup = one_rank(1000);
  EXPECT_THROW(NcclCommunicator(setup, Deadline::after(std::chrono::seconds(5))), DeviceUnavailable);
}

TEST(NcclCommunicator, RefusesAnIdThatIsNone) {
  NcclSetup setup;
  setup.unique_id = "short";
  EXPECT_THROW(NcclCommunicator(setup, Deadline::after(std::chrono::seconds(5))), InternalError);
}

TEST(NcclCommunicator, RefusesARankOutsideTheWorld) {
  NcclSetup setup = one_rank(0);
  setup.rank = 1;
  EXPECT_THROW(NcclCommunicator(setup, Deadline::after(std::chrono::seconds(5))), InternalError);
}

}  // namespace
}  // namespace yolodist::comm
