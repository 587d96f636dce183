// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "common/base/error.h"
#include "common/base/host_name.h"
#include "launcher/device/cuda_inventory.h"
#include "launcher/device/device_choice.h"
#include "launcher/device/host.h"
#include "tests/support/thrown.h"

namespace yolodist::device {
namespace {

using test::thrown;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

CudaInventory read(const std::optional<std::string>& visible) {
  return read_cuda_inventory(visible, YOLODIST_FAKE_NVML);
}

std::vector<int> numbers(const std::vector<CudaDevice>& devices) {
  std::vector<int> list;
  for (const CudaDevice& device : devices) {
    list.push_back(device.index);
  }
  return list;
}

TEST(CudaInventory, WithoutADriverSaysSo) {
  const CudaInventory inventory = read_cuda_inventory(std::nullopt, "libno-such-driver.so.1");
  EXPECT_TRUE(inventory.devices.empty());
  EXPECT_THAT(inventory.problem, AllOf(HasSubstr("no NVIDIA driver"), HasSubstr("libno-such-driver.so.1")));
}

TEST(CudaInventory, ALibraryThatIsNotTheDriverIsNotUsed) {
  EXPECT_THAT(read_cuda_inventory(std::nullopt, "libm.so.6").problem, HasSubstr("nvmlInit_v2 is missing"));
}

TEST(CudaInventory, DescribesTheCards) {
  const CudaInventory inventory = read(std::nullopt);
  EXPECT_EQ(inventory.problem, "");
  ASSERT_EQ(inventory.devices.size(), 3u);
  EXPECT_EQ(inventory.devices[1].uuid, "GPU-1000-card");
  EXPECT_EQ(inventory.devices[1].pci, "00000000:61:00.0");
  EXPECT_EQ(inventory.devices[1].name, "Card 1");
  EXPECT_EQ(inventory.devices[1].memory.count, int64_t{2} << 30);
  EXPECT_EQ(inventory.devices[1].free.count, int64_t{1} << 30);
  EXPECT_EQ(inventory.driver, "580.65.06");
  EXPECT_EQ(inventory.driver_cuda, 13000);
  EXPECT_EQ(inventory.devices[1].capability, "8.0");
}

TEST(CudaInventory, HonoursCudaVisibleDevices) {
  EXPECT_THAT(numbers(read("2,0").devices), ElementsAre(2, 0));
  EXPECT_THAT(numbers(read("GPU-1").devices), ElementsAre(1));
  EXPECT_THAT(numbers(read("1, 7, 0").devices), ElementsAre(1))
      << "as in CUDA, the list ends at what does not exist";
  EXPECT_TRUE(read("").devices.empty());
  EXPECT_THAT(read("").problem, HasSubstr("leaves none of the 3 devices"));
  EXPECT_TRUE(read("-1").devices.empty());
}

TEST(CudaInventory, ASliceIsADeviceOnItsCard) {
  const CudaInventory inventory = read("MIG-aaaa-bbbb");
  ASSERT_EQ(inventory.devices.size(), 1u);
  EXPECT_EQ(inventory.devices[0].uuid, "MIG-aaaa-bbbb");
  EXPECT_EQ(inventory.devices[0].pci, "00000000:61:00.0") << "of the card";
  EXPECT_EQ(inventory.devices[0].index, 1);
  EXPECT_EQ(inventory.devices[0].capability, "8.0") << "of the card";
  EXPECT_TRUE(read("MIG-other").devices.empty());
}

TEST(ParseDevice, ReadsWhatUsersWrite) {
  EXPECT_EQ(parse_device("").kind, DeviceRequest::Kind::automatic);
  EXPECT_EQ(parse_device("CPU").kind, DeviceRequest::Kind::cpu);
  EXPECT_EQ(parse_device("cuda").kind, DeviceRequest::Kind::cuda);
  EXPECT_THAT(parse_device("0, 2").numbers, ElementsAre(0, 2));
  EXPECT_THAT(parse_device("cuda:1").numbers, ElementsAre(1));
  for (const char* bad : {"mps", "gpu", "0,", "-1", "0,0", "0;1", "1.5"}) {
    EXPECT_THAT(thrown<UsageError>([&] { parse_device(bad); }), HasSubstr("--device")) << bad;
  }
}

TEST(DevicesToUse, AutomaticTakesWhatThereIs) {
  EXPECT_EQ(devices_to_use({}, read(std::nullopt)).size(), 3u);
  EXPECT_TRUE(devices_to_use({}, CudaInventory{{}, "none"}).empty());
  EXPECT_TRUE(devices_to_use(parse_device("cpu"), read(std::nullopt)).empty());
}

TEST(DevicesToUse, NumbersAreThoseOfNvidiaSmiAmongTheVisible) {
  EXPECT_THAT(numbers(devices_to_use(parse_device("2"), read("2,0"))), ElementsAre(2));
  EXPECT_THAT(thrown<DeviceUnavailable>([] { devices_to_use(parse_device("1"), read("2,0")); }),
              AllOf(HasSubstr("device 1"), HasSubstr("2 (Card 2), 0 (Card 0)")));
}

TEST(DevicesToUse, CudaWithoutADriverIsRefusedWithTheReason) {
  EXPECT_THAT(thrown<DeviceUnavailable>([] {
                devices_to_use(parse_device("cuda"),
                               read_cuda_inventory(std::nullopt, "libno-such-driver.so.1"));
              }),
              AllOf(HasSubstr("no NVIDIA driver"), HasSubstr("--device cpu")));
}

TEST(DeviceOfRank, IsThePlaceOnTheHostOrTheOnlyOne) {
  const std::vector<CudaDevice> all = read(std::nullopt).devices;
  EXPECT_EQ(device_of_rank(all, 2, 3).index, 2);
  EXPECT_EQ(device_of_rank({all[1]}, 5, 8).index, 1) << "each task sees its own (gpus-per-task)";
  EXPECT_THAT(thrown<DeviceUnavailable>([&] { device_of_rank(all, 0, 4); }),
              HasSubstr("4 ranks on this host, but 3"));
}

TEST(Cores, TextReadsBack) {
  EXPECT_EQ(cores_text({0, 1, 2, 3, 8, 10, 11}), "0-3,8,10-11");
  EXPECT_EQ(cores_from_text("0-3,8,10-11"), (Cores{0, 1, 2, 3, 8, 10, 11}));
  EXPECT_EQ(cores_from_text(""), Cores{});
  EXPECT_THROW(cores_from_text("3-1"), InternalError);
  EXPECT_THROW(cores_from_text("x"), InternalError);
}

TEST(Cores, ThisProcessHasSome) {
  const Cores mine = allowed_cores();
  EXPECT_FALSE(mine.empty());
  EXPECT_EQ(allowed_cores_of(getpid()), mine);
  EXPECT_TRUE(set_allowed_cores(mine));
  EXPECT_FALSE(set_allowed_cores({}));
  EXPECT_GT(host_memory().count, int64_t{64} << 20);
  EXPECT_NE(host_name(), "");
}

TEST(Cores, ThreadsAreDividedButNeverZero) {
  EXPECT_EQ(threads_a_rank({0, 1, 2, 3}, 2), 2);
  EXPECT_EQ(threads_a_rank({0, 1, 2}, 2), 1);
  EXPECT_EQ(threads_a_rank({0}, 4), 1);
  EXPECT_EQ(union_of({0, 2}, {1, 2}), (Cores{0, 1, 2}));
  EXPECT_TRUE(contains({0, 1, 2}, {0, 2}));
  EXPECT_FALSE(contains({0, 1}, {2}));
}

}  // namespace
}  // namespace yolodist::device
