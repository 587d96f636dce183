// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/plan/budgets.h"

#include <gmock/gmock.h>

#include "tests/support/thrown.h"

namespace yolodist::plan {
namespace {

using test::thrown;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr int64_t gib = int64_t{1} << 30;

std::vector<Device> devices_of(const std::vector<int64_t>& budgets) {
  std::vector<Device> devices;
  for (const int64_t bytes : budgets) {
    Device device;
    device.card = "T4";
    device.budget_bytes = bytes;
    devices.push_back(device);
  }
  return devices;
}

// The budgets after asking; what the devices have before is in `have`.
std::vector<int64_t> budgets_after(const std::vector<int64_t>& have, const std::vector<int64_t>& asked,
                                   const std::string& reserve = "0") {
  std::vector<Device> devices = devices_of(have);
  set_budgets(devices, asked, reserve);
  std::vector<int64_t> budgets;
  for (const Device& device : devices) {
    budgets.push_back(device.budget_bytes);
  }
  return budgets;
}

TEST(Budgets, AreOneForAllOrOneEach) {
  EXPECT_THAT(budgets_after({0, 0, 0}, {4 * gib}), ElementsAre(4 * gib, 4 * gib, 4 * gib));
  EXPECT_THAT(budgets_after({0, 0, 0}, {4 * gib, gib, 2 * gib}), ElementsAre(4 * gib, gib, 2 * gib));
  EXPECT_THAT(budgets_after({0}, {4 * gib}), ElementsAre(4 * gib));
}

TEST(Budgets, OfZeroLeaveADeviceWhatItHas) {
  EXPECT_THAT(budgets_after({0, 16 * gib}, {0}), ElementsAre(0, 16 * gib));
  EXPECT_THAT(budgets_after({16 * gib, 16 * gib}, {8 * gib, 0}), ElementsAre(8 * gib, 16 * gib));
}

TEST(Budgets, AreNeverMoreThanADeviceHas) {
  EXPECT_THAT(budgets_after({16 * gib, 40 * gib}, {24 * gib}), ElementsAre(16 * gib, 24 * gib));
}

TEST(Budgets, KeepAReserveFreeOfWhatThereIs) {
  EXPECT_THAT(budgets_after({16 * gib, 40 * gib}, {20 * gib}, "25%"), ElementsAre(12 * gib, 15 * gib));
  EXPECT_THAT(budgets_after({16 * gib, 40 * gib}, {0}, "1GiB"), ElementsAre(15 * gib, 39 * gib));
  EXPECT_THAT(budgets_after({0, 2 * gib}, {0}, "1GiB"), ElementsAre(0, gib)) << "no budget stays none";
  EXPECT_THAT(budgets_after({0}, {0}, "5%"), ElementsAre(0));
}

TEST(Budgets, RefuseAnotherNumberThanThereAreRanks) {
  const std::string message = thrown<UsageError>([] { budgets_after({0, 0, 0}, {gib, gib}); });
  EXPECT_THAT(message, HasSubstr("--device-memory is for 2 ranks, but there are 3"));
  EXPECT_THAT(message, HasSubstr("one for all, or one for each"));
  EXPECT_THAT(thrown<UsageError>([] { budgets_after({0}, {gib, gib}); }), HasSubstr("for 2 ranks"));
  EXPECT_THAT(thrown<UsageError>([] { budgets_after({0, 0}, {}); }), HasSubstr("for 0 ranks"));
}

TEST(Budgets, RefuseAReserveThatLeavesNothing) {
  const std::string message = thrown<UsageError>([] { budgets_after({2 * gib}, {gib}, "1GiB"); });
  EXPECT_THAT(message, HasSubstr("--memory-reserve 1GiB leaves nothing of the 1.00 GiB of T4"));
  EXPECT_THAT(thrown<UsageError>([] { budgets_after({gib}, {0}, "5 percent"); }),
              HasSubstr("--memory-reserve"));
  EXPECT_THAT(thrown<UsageError>([] { budgets_after({gib}, {0}, "100%"); }), HasSubstr("--memory-reserve"));
}

}  // namespace
}  // namespace yolodist::plan
