// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/device/cuda_support.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/error.h"
#include "tests/support/thrown.h"

namespace yolodist::device {
namespace {

using test::thrown;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

const CudaBuild of_2_11 = {"2.11.0", "13.0", "sm_75 sm_80 sm_86 sm_90 sm_100 sm_120"};
const CudaBuild of_2_7 = {"2.7.1", "12.6", "sm_50 sm_60 sm_70 sm_75 sm_80 sm_86 sm_90"};

CudaDevice card(int index, const std::string& name, const std::string& capability) {
  CudaDevice device;
  device.index = index;
  device.name = name;
  device.capability = capability;
  return device;
}

CudaInventory host(std::vector<CudaDevice> cards, const std::string& driver, int driver_cuda) {
  CudaInventory inventory;
  inventory.devices = std::move(cards);
  inventory.driver = driver;
  inventory.driver_cuda = driver_cuda;
  return inventory;
}

TEST(HasCodeFor, MachineCodeIsForItsMajorFromItsMinorOn) {
  for (const char* capability : {"7.5", "8.0", "8.6", "8.9", "9.0", "10.0", "10.3", "12.0", "12.1"}) {
    EXPECT_TRUE(has_code_for(of_2_11, capability)) << capability;
  }
  for (const char* capability : {"5.2", "6.1", "7.0", "7.2", "11.0", "13.0"}) {
    EXPECT_FALSE(has_code_for(of_2_11, capability)) << capability;
  }
  EXPECT_TRUE(has_code_for(of_2_7, "7.0"));
  EXPECT_TRUE(has_code_for(of_2_7, "6.1"));
  EXPECT_FALSE(has_code_for(of_2_7, "10.0"));
}

TEST(HasCodeFor, PtxIsForAllThatCameLater) {
  const CudaBuild build = {"2.12.0", "13.0", "sm_80 sm_90a compute_90"};
  EXPECT_TRUE(has_code_for(build, "12.0"));
  EXPECT_TRUE(has_code_for(build, "9.0"));
  EXPECT_FALSE(has_code_for(build, "7.5"));
  EXPECT_FALSE(has_code_for({"2.12.0", "13.0", "sm_90a"}, "9.1"));
}

TEST(HasCodeFor, NothingIsRefusedWhereNothingIsKnown) {
  EXPECT_TRUE(has_code_for({"2.12.0", "13.0", ""}, "3.0"));
  EXPECT_TRUE(has_code_for(of_2_11, ""));
  EXPECT_TRUE(has_code_for({"not built", "not built", ""}, "3.0"));
  EXPECT_FALSE(has_code_for({"2.11.0", "13.0", ""}, "7.0")) << "the zip of a version that is known";
}

TEST(CheckRunnable, ACardIsRefusedNamingWhatCould) {
  const CudaInventory two =
      host({card(0, "Tesla V100-SXM2-16GB", "7.0"), card(1, "Tesla T4", "7.5")}, "580.65.06", 13000);
  EXPECT_THAT(thrown<DeviceUnavailable>([&] { check_runnable(of_2_11, two.devices, two); }),
              AllOf(HasSubstr("GPU 0 (Tesla V100-SXM2-16GB) has compute capability 7.0"),
                    HasSubstr("LibTorch 2.11.0, CUDA 13.0"), HasSubstr("7.5, 8.0, 8.6, 9.0, 10.0, 12.0"),
                    HasSubstr("Use --device 1, or build yolodist with LibTorch 2.7.1 (CUDA 12.6"),
                    Not(HasSubstr("--device cpu"))));
  EXPECT_NO_THROW(check_runnable(of_2_11, {two.devices[1]}, two));
  EXPECT_NO_THROW(check_runnable(of_2_7, two.devices, two));
  const CudaInventory alone = host({two.devices[0]}, "580.65.06", 13000);
  EXPECT_THAT(thrown<DeviceUnavailable>([&] { check_runnable(of_2_11, alone.devices, alone); }),
              AllOf(HasSubstr("--device cpu"), Not(HasSubstr("--device 0"))));
  const CudaInventory blackwell = host({card(0, "NVIDIA B200", "10.0")}, "580.65.06", 13000);
  EXPECT_THAT(thrown<DeviceUnavailable>([&] { check_runnable(of_2_7, blackwell.devices, blackwell); }),
              HasSubstr("LibTorch 2.11.0 (CUDA 13.0, driver 580 or newer"));
}

TEST(CheckRunnable, ADriverIsRefusedWithBothVersions) {
  const CudaInventory old = host({card(0, "Tesla T4", "7.5")}, "550.54.14", 12040);
  EXPECT_THAT(thrown<DeviceUnavailable>([&] { check_runnable(of_2_11, old.devices, old); }),
              AllOf(HasSubstr("driver 550.54.14 runs CUDA up to 12.4"),
                    HasSubstr("CUDA 13.0) needs 13.0 (driver 580) or newer"),
                    HasSubstr("Install the NVIDIA driver 580 or newer"), HasSubstr("LibTorch 2.7.1"),
                    HasSubstr("--device cpu")));
  EXPECT_NO_THROW(check_runnable(of_2_7, old.devices, old)) << "minor versions are compatible";
  EXPECT_NO_THROW(check_runnable(of_2_11, {}, old)) << "nobody wants a card";
  const CudaInventory oldest = host({card(0, "Tesla T4", "7.5")}, "470.57.02", 11040);
  EXPECT_THAT(thrown<DeviceUnavailable>([&] { check_runnable(of_2_11, oldest.devices, oldest); }),
              Not(HasSubstr("LibTorch 2.7.1")));
}

TEST(CheckRunnable, TheDriversOwnVersionCountsWhereItTellsNoCuda) {
  const std::vector<CudaDevice> cards = {card(0, "Tesla T4", "7.5")};
  EXPECT_NE(driver_problem(of_2_11, host(cards, "550.54.14", 0)), "");
  EXPECT_EQ(driver_problem(of_2_11, host(cards, "580.65.06", 0)), "");
  EXPECT_EQ(driver_problem(of_2_11, host(cards, "", 0)), "");
  EXPECT_EQ(driver_problem({"not built", "not built"}, host(cards, "390.10", 9010)), "");
}

TEST(CheckRunnable, AnOldCardUnderAnOldDriverIsRefusedForTheCard) {
  const CudaInventory old = host({card(0, "Tesla V100", "7.0")}, "535.54.03", 12020);
  EXPECT_THAT(thrown<DeviceUnavailable>([&] { check_runnable(of_2_11, old.devices, old); }),
              AllOf(HasSubstr("capability 7.0"), HasSubstr("LibTorch 2.7.1"), Not(HasSubstr("Install"))));
}

}  // namespace
}  // namespace yolodist::device
