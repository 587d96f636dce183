// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
// Which device a rank gets in each way in which schedulers show devices to their tasks.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>

#include "common/base/error.h"
#include "launcher/device/cuda_inventory.h"
#include "launcher/device/device_choice.h"
#include "tests/support/thrown.h"

namespace yolodist::device {
namespace {

using test::thrown;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using Visible = std::optional<std::string>;

// What the driver's stand-in has in the host while this lives.
class Host {
 public:
  explicit Host(const std::string& name) { setenv("FAKE_NVML", name.c_str(), 1); }
  ~Host() { unsetenv("FAKE_NVML"); }
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;
};

CudaInventory inventory(const std::string& host, const Visible& visible) {
  const Host cards(host);
  return read_cuda_inventory(visible, YOLODIST_FAKE_NVML);
}

std::vector<std::string> uuids(const CudaInventory& inventory) {
  std::vector<std::string> list;
  for (const CudaDevice& device : inventory.devices) {
    list.push_back(device.uuid);
  }
  return list;
}

struct Task {  // of SLURM: what it sees
  std::string host;
  Visible visible;
};
struct Row {
  const char* launch;
  std::vector<Task> tasks;           // of one host, in the order of their local ranks
  std::vector<std::string> devices;  // that they get
};

std::vector<Task> all_alike(int count, const std::string& host, const Visible& visible) {
  return std::vector<Task>(static_cast<size_t>(count), Task{host, visible});
}

const std::vector<Row>& rows() {
  static const std::vector<Row> all = {
      {"gpus-per-node=2: all tasks see both", all_alike(2, "", "0,1"), {"GPU-0000-card", "GPU-1000-card"}},
      {"gpus-per-task=1: each task its own", {{"", "0"}, {"", "1"}}, {"GPU-0000-card", "GPU-1000-card"}},
      {"gpus-per-task=1 with control groups: each its own, which is number 0",
       {{"only-0", "0"}, {"only-2", "0"}},
       {"GPU-0000-card", "GPU-2000-card"}},
      {"gpu-bind=single:1", {{"", "1"}, {"", "0"}}, {"GPU-1000-card", "GPU-0000-card"}},
      {"no GPU asked for: unset, all are visible",
       all_alike(3, "", std::nullopt),
       {"GPU-0000-card", "GPU-1000-card", "GPU-2000-card"}},
      {"gpus-per-node=2 with gpu-bind=none: unset, fewer ranks than cards",
       all_alike(2, "", std::nullopt),
       {"GPU-0000-card", "GPU-1000-card"}},
      {"in another order", all_alike(2, "", "2,0"), {"GPU-2000-card", "GPU-0000-card"}},
      {"UUIDs", all_alike(2, "", "GPU-1000-card,GPU-0000-card"), {"GPU-1000-card", "GPU-0000-card"}},
      {"abbreviated UUIDs", all_alike(2, "", "GPU-2,GPU-1"), {"GPU-2000-card", "GPU-1000-card"}},
      {"two tasks with two of their own each: the place on the host counts within them",
       {{"", "0,1"}, {"", "1,2"}},
       {"GPU-0000-card", "GPU-2000-card"}},
      {"a slice of a card each",
       {{"cut", "MIG-5555-first"}, {"cut", "MIG-5555-second"}},
       {"MIG-5555-first", "MIG-5555-second"}},
      {"slices in one list",
       all_alike(2, "cut", "MIG-5555-second,MIG-5555-first"),
       {"MIG-5555-second", "MIG-5555-first"}},
      {"a card that is cut, and one that is not: all visible",
       all_alike(3, "cut", std::nullopt),
       {"MIG-5555-first", "MIG-5555-second", "GPU-1000-card"}},
  };
  return all;
}

// Under mpirun inside sbatch these describe mpirun's daemon, and are 0 in every rank.
class DeviceRules : public testing::Test {
 protected:
  DeviceRules() {
    setenv("SLURM_LOCALID", "0", 1);
    setenv("SLURM_PROCID", "0", 1);
    setenv("SLURM_NTASKS", "1", 1);
  }
  ~DeviceRules() override {
    for (const char* name : {"SLURM_LOCALID", "SLURM_PROCID", "SLURM_NTASKS"}) {
      unsetenv(name);
    }
  }
};

TEST_F(DeviceRules, EachRankGetsItsOwn) {
  for (const Row& row : rows()) {
    std::vector<std::string> got;
    for (size_t i = 0; i < row.tasks.size(); ++i) {
      const CudaInventory seen = inventory(row.tasks[i].host, row.tasks[i].visible);
      got.push_back(
          device_of_rank(devices_to_use({}, seen), static_cast<int>(i), static_cast<int>(row.tasks.size()))
              .uuid);
    }
    EXPECT_EQ(got, row.devices) << row.launch;
  }
}

TEST_F(DeviceRules, MoreRanksThanDevicesAreRefusedWithTheList) {
  const auto choose = [](int local_rank) {
    device_of_rank(devices_to_use({}, inventory("", "2,0")), local_rank, 3);
  };
  for (const int local_rank : {0, 2}) {
    EXPECT_THAT(thrown<DeviceUnavailable>([&] { choose(local_rank); }),
                AllOf(HasSubstr("3 ranks on this host, but 2 devices: 2 (Card 2), 0 (Card 0)"),
                      HasSubstr("one rank")));
  }
}

TEST_F(DeviceRules, AListThatNamesNothingLeavesTheCpuOrIsRefused) {
  for (const char* visible :
       {"", "-1", "NoDevFiles", "-1,0", "7", "GPU-", "GPU-3", "MIG-other", "0,0", "1,GPU-1"}) {
    const CudaInventory seen = inventory("", visible);
    EXPECT_THAT(seen.devices, testing::IsEmpty()) << visible;
    EXPECT_THAT(seen.problem, HasSubstr(visible));
    EXPECT_TRUE(devices_to_use({}, seen).empty());
    EXPECT_THAT(thrown<DeviceUnavailable>([&] { devices_to_use(parse_device("cuda"), seen); }),
                HasSubstr("leaves none of the 3 devices"));
  }
}

TEST_F(DeviceRules, AListEndsAtTheFirstEntryThatDoesNotExist) {
  EXPECT_THAT(uuids(inventory("", "1,-1,0")), ElementsAre("GPU-1000-card"));
  EXPECT_THAT(uuids(inventory("", "1,NoDevFiles")), ElementsAre("GPU-1000-card"));
  EXPECT_THAT(uuids(inventory("", "2, GPU-1,3,0")), ElementsAre("GPU-2000-card", "GPU-1000-card"));
  EXPECT_THAT(uuids(inventory("unlike", "GPU-aaaa2,GPU-aaaa")), ElementsAre("GPU-aaaa2222-card"))
      << "a beginning that fits two cards names none";
}

TEST_F(DeviceRules, ASliceHasItsOwnMemoryAndItsCardsPlace) {
  const CudaInventory seen = inventory("cut", std::nullopt);
  ASSERT_THAT(uuids(seen), ElementsAre("MIG-5555-first", "MIG-5555-second", "GPU-1000-card"))
      << "a card that is cut is no device itself";
  EXPECT_EQ(seen.devices[0].memory.count, int64_t{5} << 30);
  EXPECT_EQ(seen.devices[1].memory.count, int64_t{10} << 30);
  EXPECT_EQ(seen.devices[1].pci, "00000000:60:00.0");
  EXPECT_EQ(devices_to_use(parse_device("0"), seen).size(), 2u) << "the number of the card means its slices";
  EXPECT_TRUE(is_slice(seen.devices[1]));
  EXPECT_FALSE(is_slice(seen.devices[2]));
}

// CUDA as a worker sees it: which card of the host "unlike" a PCI id is bound to, "" = not found.
std::string bound_by_cuda(const std::string& order, const Visible& visible, const std::string& pci) {
  std::vector<CudaDevice> cards = inventory("unlike", std::nullopt).devices;
  if (order == "FASTEST_FIRST") {
    std::reverse(cards.begin(), cards.end());
  }
  std::vector<CudaDevice> seen = visible ? std::vector<CudaDevice>() : cards;
  for (size_t number = 0; visible && number < cards.size(); ++number) {
    const std::string text = "," + *visible + ",";
    if (text.find("," + std::to_string(number) + ",") != std::string::npos ||
        text.find("," + cards[number].uuid + ",") != std::string::npos) {
      seen.push_back(cards[number]);
    }
  }
  for (const CudaDevice& card : seen) {
    if (card.pci == pci) {
      return card.uuid;
    }
  }
  return "";
}

TEST_F(DeviceRules, TheOrderInWhichCudaNumbersCardsDoesNotMatter) {
  // NVML has the T4 as 0 and the A100 as 1; CUDA by itself the other way round.
  for (const Visible& visible : {Visible(), Visible("0,1"), Visible("1,0"), Visible("0"), Visible("1")}) {
    const CudaInventory seen = inventory("unlike", visible);
    const int ranks = static_cast<int>(seen.devices.size());
    for (int local_rank = 0; local_rank < ranks; ++local_rank) {
      const CudaDevice own = device_of_rank(seen.devices, local_rank, ranks);
      for (const char* order : {"FASTEST_FIRST", "PCI_BUS_ID"}) {
        EXPECT_EQ(bound_by_cuda(order, visible_to_worker(seen, own), own.pci), own.uuid)
            << order << ", CUDA_VISIBLE_DEVICES=" << visible.value_or("unset") << ", rank " << local_rank;
      }
    }
  }
  EXPECT_EQ(bound_by_cuda("FASTEST_FIRST", "0", "00000000:65:00.0"), "") << "numbers would mean other cards";
}

TEST_F(DeviceRules, AWorkerSeesTheOthersCardsButOnlyItsOwnSlice) {
  const CudaInventory both = inventory("", "1,0");
  EXPECT_EQ(visible_to_worker(both, both.devices[0]), "GPU-1000-card,GPU-0000-card");
  const CudaInventory all = inventory("", std::nullopt);
  EXPECT_EQ(visible_to_worker(all, all.devices[0]), std::nullopt);
  const CudaInventory cut = inventory("cut", std::nullopt);
  EXPECT_EQ(visible_to_worker(cut, cut.devices[1]), "MIG-5555-second")
      << "CUDA would open the first slice that it sees";
}

}  // namespace
}  // namespace yolodist::device
