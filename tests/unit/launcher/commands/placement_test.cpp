// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/commands/placement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "common/base/error.h"
#include "common/base/text.h"
#include "common/plan/cards.h"
#include "launcher/commands/plan.h"
#include "tests/support/thrown.h"

namespace yolodist::commands {
namespace {

using test::thrown;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr int64_t gib = 1 << 30;

device::CudaDevice card(int index, const std::string& uuid, const std::string& name, int64_t memory_gib) {
  return {index, uuid, cat("00000000:6", index, ":00.0"), name, Bytes{memory_gib * gib}};
}

Place place(int rank, int node, const device::Cores& cores) {
  Place result;
  result.rank = rank;
  result.node = node;
  result.host = cat("node", node);
  result.cores = cores;
  result.online_cores = 64;
  return result;
}

// Two ranks on each of two hosts, with unlike cards.
std::vector<Place> two_hosts() {
  std::vector<Place> places = {place(0, 0, {0, 1}), place(1, 0, {2, 3}), place(2, 2, {0, 1}),
                               place(3, 2, {2, 3})};
  for (Place& one : places) {
    one.local_rank = one.rank % 2;
    const bool is_t4 = one.local_rank == 0;
    one.device = card(one.local_rank, cat("GPU-", one.node, "-", one.local_rank),
                      is_t4 ? "Tesla T4" : "NVIDIA A100-SXM4-80GB", is_t4 ? 15 : 80);
    one.visible_devices = 2;
    one.addresses = {{"eth0", cat("10.0.0.", one.node + 1), 24, true}};
  }
  return places;
}

std::vector<std::string> warnings(const std::vector<Place>& places) {
  std::vector<std::string> texts;
  for (const PlaceNote& note : place_notes(places)) {
    if (note.is_warning) {
      texts.push_back(cat(note.text, ". ", note.what_now));
    }
  }
  return texts;
}

TEST(Placement, TravelsToTheOtherRanksWhole) {
  Place one = two_hosts()[3];
  one.is_widened = true;
  one.visible_to_worker = "GPU-2-0,GPU-2-1";
  one.no_device = "why";
  one.no_device_hint = "what now";
  one.has_unused_card = true;
  one.device->capability = "8.0";
  const Place read = place_from_json(nlohmann::json::parse(place_to_json(one).dump()));
  EXPECT_EQ(place_to_json(read), place_to_json(one));
  EXPECT_EQ(read.device->uuid, "GPU-2-1");
  EXPECT_EQ(read.device->capability, "8.0");
  EXPECT_EQ(read.no_device_hint, "what now");
  EXPECT_TRUE(read.has_unused_card);
  EXPECT_EQ(read.device->memory.count, 80 * gib);
  EXPECT_EQ(read.addresses, one.addresses);
  EXPECT_EQ(read.visible_to_worker, one.visible_to_worker);
  const Place cpu = place_from_json(place_to_json(place(0, 0, {0})));
  EXPECT_FALSE(cpu.device);
  EXPECT_FALSE(cpu.visible_to_worker);
}

TEST(Placement, EachRankIsPlannedForItsOwnCard) {
  const plan::CardCatalogue catalogue = plan::read_cards(YOLODIST_SOURCE_DIR "/share/yolodist/cards.yaml");
  std::vector<Place> places = two_hosts();
  settle_places(places, 0);
  for (const Place& one : places) {
    const plan::Device planned = planned_device(catalogue, *one.device, plan::Precision::fp32);
    EXPECT_EQ(planned.card, one.local_rank == 0 ? "T4" : "A100-80GB") << one.rank;
    EXPECT_EQ(planned.uuid, one.device->uuid);
  }
}

TEST(Placement, TheSameGpuTwiceIsRefusedWhateverTheRanksSee) {
  std::vector<Place> places = two_hosts();
  places[1].device = places[0].device;
  places[0].visible_devices = places[1].visible_devices = 1;
  EXPECT_THAT(thrown<DeviceUnavailable>([&] { settle_places(places, 0); }),
              AllOf(HasSubstr("ranks 0 and 1 on node0 have the same GPU GPU-0-0"),
                    HasSubstr("the only one that each of them sees"), HasSubstr("one rank a GPU")));
  places = two_hosts();
  places[3].device = places[0].device;  // two containers of one host: MPI takes them for two
  EXPECT_THAT(thrown<DeviceUnavailable>([&] { settle_places(places, 0); }),
              HasSubstr("rank 0 on node0 and rank 3 on node2 have the same GPU"));
}

TEST(Placement, AHostWithoutAGpuIsNamedWithTheReason) {
  std::vector<Place> places = two_hosts();
  places[2].device.reset();
  places[2].no_device = "no NVIDIA driver (libnvidia-ml.so.1 not found)";
  EXPECT_THAT(thrown<DeviceUnavailable>([&] { settle_places(places, 0); }),
              AllOf(HasSubstr("rank 2 on node2 has none: no NVIDIA driver"), HasSubstr("--device cpu")));
}

TEST(Placement, ARankHasNoMoreThreadsThanCores) {
  std::vector<Place> places = {place(0, 0, {0}), place(1, 0, {1, 2, 3, 4, 5, 6, 7})};
  settle_places(places, 0);
  EXPECT_EQ(places[0].threads, 1);
  EXPECT_EQ(places[1].threads, 4);
}

TEST(PlacesTable, HasTheNetworkWhereThereAreSeveralHosts) {
  std::vector<Place> places = two_hosts();
  places[0].addresses.insert(places[0].addresses.begin(), {"docker0", "172.17.0.1", 16, false});
  places[3].addresses.insert(places[3].addresses.begin(), {"docker0", "172.17.0.1", 16, false});
  places[1].addresses.clear();
  settle_places(places, 0);
  EXPECT_EQ(places_table(places),
            "  rank  host   device                                      cores  threads  network\n"
            "     0  node0  0 Tesla T4, 15.0 GiB, 60:00.0               0-1    2        eth0 10.0.0.1\n"
            "     1  node0  1 NVIDIA A100-SXM4-80GB, 80.0 GiB, 61:00.0  2-3    2        -\n"
            "     2  node2  0 Tesla T4, 15.0 GiB, 60:00.0               0-1    2        eth0 10.0.0.3\n"
            "     3  node2  1 NVIDIA A100-SXM4-80GB, 80.0 GiB, 61:00.0  2-3    2        eth0 10.0.0.3");
  places.resize(2);
  EXPECT_THAT(places_table(places), Not(HasSubstr("network")));
}

TEST(PlaceNotes, SayNothingWhereNothingIsLost) {
  EXPECT_THAT(place_notes(two_hosts()), IsEmpty());
  std::vector<Place> small = {place(0, 0, {0}), place(1, 0, {1})};
  small[0].online_cores = small[1].online_cores = 2;
  EXPECT_THAT(place_notes(small), IsEmpty()) << "a core a rank is all that the host has";
}

TEST(PlaceNotes, ARankOnOneCoreIsWarnedOf) {
  std::vector<Place> places = two_hosts();
  places[1].cores = {2};
  ASSERT_EQ(warnings(places).size(), 1u);
  EXPECT_THAT(warnings(places)[0], AllOf(HasSubstr("rank 1 may use one core only"),
                                         HasSubstr("SRUN_CPUS_PER_TASK"), HasSubstr("--bind-to none")));
  places[0].cores = places[3].cores = {0};
  EXPECT_THAT(warnings(places)[0], HasSubstr("ranks 0-1 and 3 may use one core only each"));
}

TEST(PlaceNotes, ACardOfItsOwnForEachRankIsWarnedOf) {
  std::vector<Place> places = two_hosts();
  for (Place& one : places) {
    one.visible_devices = 1;
  }
  ASSERT_EQ(warnings(places).size(), 1u);
  EXPECT_THAT(warnings(places)[0],
              AllOf(HasSubstr("ranks 0-3 see one GPU each"), HasSubstr("--gpus-per-node")));
  places = {places[0], places[2]};
  EXPECT_THAT(warnings(places), IsEmpty()) << "one rank a host has nobody to reach";
}

TEST(PlaceNotes, SlicesOfOneCardAreWarnedOf) {
  std::vector<Place> places = {place(0, 0, {0, 1}), place(1, 0, {2, 3})};
  for (Place& one : places) {
    one.device = card(0, cat("MIG-", one.rank), "Card MIG 1g.5gb", 5);
    one.visible_devices = 1;
  }
  ASSERT_EQ(warnings(places).size(), 1u);
  EXPECT_THAT(warnings(places)[0], HasSubstr("ranks 0-1 are on slices of one card"));
}

TEST(PlaceNotes, ACardThatCannotBeUsedIsWarnedOf) {
  std::vector<Place> places = {place(0, 0, {0, 1}), place(1, 0, {2, 3})};
  EXPECT_THAT(warnings(places), IsEmpty());
  for (Place& one : places) {
    one.no_device = "driver/library version mismatch";
    one.no_device_hint = "Reboot";
    one.has_unused_card = true;
  }
  EXPECT_THAT(warnings(places),
              testing::ElementsAre("ranks 0-1 are on the CPU, though there is a GPU: driver/library version "
                                   "mismatch. Reboot"));
}

TEST(PlaceNotes, AWidenedMaskIsToldButIsNoWarning) {
  std::vector<Place> places = two_hosts();
  places[2].is_widened = true;
  ASSERT_EQ(place_notes(places).size(), 1u);
  EXPECT_FALSE(place_notes(places)[0].is_warning);
  EXPECT_THAT(place_notes(places)[0].text, HasSubstr("mpirun had bound the ranks to single cores"));
}

}  // namespace
}  // namespace yolodist::commands
