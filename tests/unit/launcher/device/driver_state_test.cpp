// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
// What is said where no card can be used: by the library's answer and by what the system shows.
#include "launcher/device/driver_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "launcher/device/cuda_inventory.h"
#include "tests/support/temporary_folder.h"

namespace yolodist::device {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr const char* no_library = "libno-such-driver.so.1";

// A variable of the driver's stand-in, while this lives.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) { setenv(name, value, 1); }
  ~Variable() { unsetenv(name_); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
};

class DriverState : public testing::Test {
 protected:
  void add(const fs::path& file, const std::string& text = "") const {
    fs::create_directories((root() / file).parent_path());
    std::ofstream(root() / file) << text;
  }
  void add_card_on_bus() const {
    add("sys/bus/pci/devices/0000:00:02.0/vendor", "0x8086\n");
    add("sys/bus/pci/devices/0000:00:02.0/class", "0x030000\n");
    add("sys/bus/pci/devices/0000:65:00.0/vendor", "0x10de\n");
    add("sys/bus/pci/devices/0000:65:00.0/class", "0x030200\n");
  }
  void load_module(const std::string& words) const {
    add("proc/driver/nvidia/version", "NVRM version: NVIDIA UNIX " + words + "\nGCC version: gcc 12.2.0\n");
  }
  void add_nodes() const {
    add("dev/nvidiactl");
    add("dev/nvidia0");
    add("dev/nvidia-uvm");
  }
  fs::path root() const { return folder_.path(); }
  CudaInventory read(const std::string& library = YOLODIST_FAKE_NVML) const {
    return read_cuda_inventory(std::nullopt, library, root());
  }

 private:
  test::TemporaryFolder folder_;
};

TEST_F(DriverState, ReadsWhatTheSystemShows) {
  EXPECT_FALSE(read_driver_files(root()).has_card);
  add_card_on_bus();
  load_module("x86_64 Kernel Module  535.54.03  Tue Jun  6 22:20:39 UTC 2023");
  add_nodes();
  const DriverFiles files = read_driver_files(root());
  EXPECT_TRUE(files.has_card);
  EXPECT_TRUE(files.has_module);
  EXPECT_EQ(files.module_version, "535.54.03");
  EXPECT_TRUE(files.has_control);
  EXPECT_EQ(files.card_nodes, 1) << "nvidiactl and nvidia-uvm are no cards";
  EXPECT_FALSE(files.is_container);
  load_module("Open Kernel Module for x86_64  580.65.06  Release Build  (builder@host)");
  EXPECT_EQ(read_driver_files(root()).module_version, "580.65.06");
}

TEST_F(DriverState, ABusWithOtherCardsHasNone) {
  add("sys/bus/pci/devices/0000:00:02.0/vendor", "0x8086\n");
  add("sys/bus/pci/devices/0000:00:02.0/class", "0x030000\n");
  add("sys/bus/pci/devices/0000:65:00.1/vendor", "0x10de\n");
  add("sys/bus/pci/devices/0000:65:00.1/class", "0x040300\n");  // a card's sound
  EXPECT_FALSE(read_driver_files(root()).has_card);
}

TEST_F(DriverState, WithoutADriverItNamesWhatIsMissing) {
  const CudaInventory inventory = read(no_library);
  EXPECT_EQ(inventory.problem,
            "no NVIDIA driver (libno-such-driver.so.1 not found, no kernel module, no /dev/nvidiactl, no "
            "/dev/nvidia0)");
  EXPECT_THAT(inventory.what_now, AllOf(HasSubstr("nvidia-smi must work"), HasSubstr("--gpus all")));
  EXPECT_FALSE(inventory.has_card);
}

TEST_F(DriverState, ACardWithoutADriverIsSeen) {
  add_card_on_bus();
  const CudaInventory inventory = read(no_library);
  EXPECT_THAT(inventory.problem, HasSubstr("though the PCI bus has an NVIDIA card"));
  EXPECT_TRUE(inventory.has_card);
}

TEST_F(DriverState, AContainerWithoutGpusIsTold) {
  load_module("x86_64 Kernel Module  580.65.06");
  add(".dockerenv");
  const CudaInventory inventory = read(no_library);
  EXPECT_THAT(inventory.problem, HasSubstr("not found, though the kernel has NVIDIA's driver 580.65.06"));
  EXPECT_THAT(inventory.what_now, AllOf(HasSubstr("--gpus all"), HasSubstr("--nv")));
}

TEST_F(DriverState, AModuleThatIsNotLoadedIsNamed) {
  const Variable result("FAKE_NVML_INIT", "9");
  const CudaInventory inventory = read();
  EXPECT_THAT(inventory.problem, AllOf(HasSubstr("kernel module is not loaded"),
                                       HasSubstr("Driver Not Loaded"), HasSubstr("no /dev/nvidiactl")));
  EXPECT_THAT(inventory.what_now, HasSubstr("modprobe nvidia"));
}

TEST_F(DriverState, DeviceNodesThatAreMissingAreNamed) {
  const Variable result("FAKE_NVML_INIT", "9");
  load_module("x86_64 Kernel Module  580.65.06");
  EXPECT_THAT(read().problem, AllOf(HasSubstr("580.65.06 is loaded, but not reached"),
                                    HasSubstr("no /dev/nvidiactl, no /dev/nvidia0")));
  EXPECT_THAT(read().what_now, HasSubstr("nvidia-modprobe"));
  add("run/.containerenv");
  EXPECT_THAT(read().what_now, HasSubstr("--gpus all"));
}

TEST_F(DriverState, TwoVersionsAreBothNamed) {
  const Variable result("FAKE_NVML_INIT", "18"), library("FAKE_NVML_DRIVER", "535.54.03");
  load_module("x86_64 Kernel Module  530.41.03");
  add_nodes();
  EXPECT_EQ(read().problem,
            "driver/library version mismatch: the library is 535.54.03, the kernel module 530.41.03");
  EXPECT_THAT(read().what_now, HasSubstr("reboot"));
  EXPECT_TRUE(read().has_card);
}

TEST_F(DriverState, AMissingPermissionIsNamed) {
  const Variable result("FAKE_NVML_INIT", "4");
  load_module("x86_64 Kernel Module  580.65.06");
  add_nodes();
  EXPECT_THAT(read().problem, HasSubstr("no permission for /dev/nvidiactl"));
  EXPECT_THAT(read().what_now, HasSubstr("--gpus-per-node"));
}

TEST_F(DriverState, WhatNvmlSaysOtherwiseIsPassedOn) {
  const Variable result("FAKE_NVML_INIT", "999");
  load_module("x86_64 Kernel Module  580.65.06");
  add_nodes();
  EXPECT_EQ(read().problem, "the NVIDIA driver does not answer (an error)");
}

TEST_F(DriverState, ADriverWithoutCardsSaysSo) {
  const Variable host("FAKE_NVML", "none");
  EXPECT_EQ(read().problem, "the NVIDIA driver knows no device here (no /dev/nvidia0)");
  EXPECT_EQ(read().driver, "580.65.06");
  add_nodes();
  EXPECT_THAT(read().problem, Not(HasSubstr("/dev/nvidia0")));
}

TEST_F(DriverState, CardsThatCannotBeOpenedAreCounted) {
  const Variable refused("FAKE_NVML_REFUSED", "4");
  EXPECT_THAT(read().problem, HasSubstr("no permission for the 3 cards"));
}

TEST_F(DriverState, LostCardsAreNoQuestionOfPermission) {
  const Variable lost("FAKE_NVML_REFUSED", "15");
  EXPECT_THAT(read().problem,
              AllOf(HasSubstr("cannot open the 3 cards (GPU is lost)"), Not(HasSubstr("permission"))));
  EXPECT_THAT(read().what_now, HasSubstr("dmesg"));
}

TEST_F(DriverState, WithoutLibcudaNothingRuns) {
  const Variable cuda("FAKE_NVML_CUDA", "missing");
  EXPECT_TRUE(read().devices.empty());
  EXPECT_THAT(read().problem, HasSubstr("libcuda.so.1 is not found"));
  add(".dockerenv");
  EXPECT_THAT(read().what_now, HasSubstr("NVIDIA_DRIVER_CAPABILITIES=compute,utility"));
  EXPECT_TRUE(read().has_card);
}

}  // namespace
}  // namespace yolodist::device
