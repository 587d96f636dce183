// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/commands/allocation_checks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "common/base/text.h"

namespace yolodist::commands {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr int64_t gib = 1 << 30;

// Two ranks on each of two hosts, on which nothing is to be complained of.
Allocation healthy() {
  Allocation allocation;
  allocation.started_by = "srun";
  for (int rank = 0; rank < 4; ++rank) {
    RankReport report;
    Place& place = report.place;
    place.rank = rank;
    place.node = rank / 2 * 2;
    place.local_rank = rank % 2;
    place.host = cat("node", rank / 2);
    place.cores = {0, 1, 2, 3};
    place.online_cores = 8;
    place.device = device::CudaDevice{rank % 2, cat("GPU-", rank), cat("00000000:6", rank, ":00.0"), "Card",
                                      Bytes{16 * gib}};
    place.visible_devices = 2;
    place.addresses = {{"ib0", cat("10.0.0.", rank / 2 + 1), 24, true}};
    report.checks = {{CheckLevel::ok, "disk", "100 GiB free", ""}};
    report.memory_available = Bytes{60 * gib};
    report.shared_memory_free = Bytes{32 * gib};
    report.versions = {"0.1.0", "abc", "2.11.0", "13.0", "2.28.9"};
    report.mpi = "Open MPI v4.1.4";
    allocation.ranks.push_back(report);
    allocation.links.push_back(rank == 0 ? mpi::PeerLink() : mpi::PeerLink{2e-5, 1e-4 * rank, 1.0e9});
  }
  allocation.reduced_bytes = 8 << 20;
  allocation.reduce_seconds = 0.01;
  return allocation;
}

// The checks of that name that are not ok.
std::vector<HostCheck> findings(const Allocation& allocation, const std::string& name) {
  std::vector<HostCheck> found;
  for (const HostCheck& check : judge(allocation)) {
    if (check.level != CheckLevel::ok && check.name == name) {
      found.push_back(check);
    }
  }
  return found;
}

TEST(AllocationChecks, AreAllOkWhereNothingIsWrong) {
  for (const HostCheck& check : judge(healthy())) {
    EXPECT_EQ(check.level, CheckLevel::ok) << check.name << ": " << check.text;
    EXPECT_EQ(check.what_now, "") << check.name;
  }
}

TEST(AllocationChecks, AReportArrivesWhole) {
  RankReport report = healthy().ranks[3];
  report.device_problem = "no device";
  report.device_hint = "do this";
  report.checks.push_back({CheckLevel::bad, "worker", "is not there", "install it"});
  report.shared_memory_free.reset();
  EXPECT_EQ(encode(decode_report(encode(report))), encode(report));
  EXPECT_EQ(decode_report(encode(report)).checks[1].level, CheckLevel::bad);
  EXPECT_EQ(decode_report(encode(report)).shared_memory_free, std::nullopt);
  EXPECT_EQ(decode_report(encode(report)).memory_available->count, 60 * gib);
}

TEST(AllocationChecks, TheSameFindingOfSeveralRanksIsOneLine) {
  Allocation allocation = healthy();
  for (const size_t rank : {0u, 1u, 3u}) {
    allocation.ranks[rank].checks.push_back({CheckLevel::warn, "/dev/shm", cat(rank, " MiB free"), "more"});
  }
  ASSERT_EQ(findings(allocation, "/dev/shm").size(), 1u);
  EXPECT_EQ(findings(allocation, "/dev/shm")[0].text, "ranks 0-1,3: 0 MiB free");
  allocation.ranks[3].checks.pop_back();
  EXPECT_EQ(findings(allocation, "/dev/shm")[0].text, "ranks 0-1 on node0: 0 MiB free");
  EXPECT_EQ(findings(allocation, "/dev/shm")[0].what_now, "more");
}

TEST(AllocationChecks, DevicesAreJudgedAsATrainingWouldJudgeThem) {
  Allocation twice = healthy();
  twice.ranks[1].place.device = twice.ranks[0].place.device;
  EXPECT_THAT(findings(twice, "devices").at(0).text, HasSubstr("ranks 0 and 1"));
  EXPECT_EQ(findings(twice, "devices").at(0).level, CheckLevel::bad);
  Allocation missing = healthy();
  for (const size_t rank : {2u, 3u}) {
    missing.ranks[rank].device_problem = "2 ranks on this host, but 1 devices";
    missing.ranks[rank].device_hint = "one rank a device";
    missing.ranks[rank].place.device.reset();
  }
  ASSERT_EQ(findings(missing, "devices").size(), 1u) << "and nothing that only follows from it";
  EXPECT_EQ(findings(missing, "devices")[0].text, "ranks 2-3 on node1: 2 ranks on this host, but 1 devices");
  Allocation alone = healthy();
  for (RankReport& rank : alone.ranks) {
    rank.place.visible_devices = 1;
  }
  EXPECT_THAT(findings(alone, "placement").at(0).text, HasSubstr("one GPU each"));
}

TEST(AllocationChecks, ARankOnOneCoreIsNamed) {
  Allocation allocation = healthy();
  allocation.ranks[2].place.cores = {0};
  allocation.ranks[2].checks.push_back({CheckLevel::warn, "cores", "1 of 8 allowed", "ask for more"});
  EXPECT_THAT(findings(allocation, "placement").at(0).text, HasSubstr("rank 2 may use one core only"));
  EXPECT_TRUE(findings(allocation, "cores").empty()) << "not said twice";
}

TEST(AllocationChecks, BuildsThatDifferCannotTrainTogether) {
  Allocation allocation = healthy();
  allocation.ranks[2].versions.git = allocation.ranks[3].versions.git = "def";
  const HostCheck check = findings(allocation, "versions").at(0);
  EXPECT_EQ(check.level, CheckLevel::bad);
  EXPECT_THAT(check.text, AllOf(HasSubstr("ranks 0-1 on node0: yolodist 0.1.0 (abc)"),
                                HasSubstr("ranks 2-3 on node1: yolodist 0.1.0 (def)")));
}

TEST(AllocationChecks, ClocksThatAreApartAreNamed) {
  Allocation allocation = healthy();
  allocation.links[2].clock_ahead_seconds = -3.5;
  EXPECT_EQ(findings(allocation, "clocks").size(), 1u);
  EXPECT_EQ(findings(allocation, "clocks")[0].text,
            "the clock of rank 2 on node1 is 3.5 s behind that of rank 0");
  allocation.links[2].clock_ahead_seconds = 0.9;
  EXPECT_TRUE(findings(allocation, "clocks").empty());
}

TEST(AllocationChecks, ASlowLinkIsNamedAgainstOthersOfItsKind) {
  Allocation allocation = healthy();
  allocation.links[1].bytes_per_second = 9e9;  // on rank 0's host: not to be compared with the network
  EXPECT_TRUE(findings(allocation, "network").empty());
  allocation.links[3].bytes_per_second = 1e7;
  EXPECT_TRUE(findings(allocation, "network").empty()) << "of two, either may be the odd one";
  allocation.ranks.push_back(allocation.ranks[2]);
  allocation.ranks[4].place.rank = 4;
  allocation.ranks[4].place.device->uuid = "GPU-4";
  allocation.links.push_back(allocation.links[2]);
  ASSERT_EQ(findings(allocation, "network").size(), 1u);
  EXPECT_THAT(findings(allocation, "network")[0].text, HasSubstr("rank 3 on node1 exchanges 9.54 MiB/s"));
}

TEST(AllocationChecks, AHostWithoutAWayToTheOthersIsNamed) {
  Allocation allocation = healthy();
  allocation.ranks[2].place.addresses =
      allocation.ranks[3].place.addresses = {{"docker0", "172.17.0.1", 16, false}};
  EXPECT_THAT(findings(allocation, "network").at(0).text, HasSubstr("ranks 2-3 on node1"));
  EXPECT_THAT(findings(allocation, "network").at(0).what_now, HasSubstr("--net-if"));
}

TEST(AllocationText, HasARowARankAndTheFindings) {
  const Allocation allocation = healthy();
  const std::string text = allocation_text(allocation, judge(allocation), true);
  EXPECT_THAT(
      text,
      AllOf(HasSubstr("4 ranks on 2 hosts, started by srun"),
            HasSubstr("     3  node1  1 Card, 16.0 GiB, 63:00.0  0-3    ib0 10.0.0.2  60.0 GiB  32.0 GiB  "
                      "+0.3 ms  954 MiB/s\n"),
            HasSubstr("8.00 MiB over 4 ranks in 10.0 ms, 800 MiB/s"), HasSubstr("Training can run here.")));
}

TEST(AllocationDocument, HasARowARank) {
  Allocation allocation = healthy();
  allocation.ranks[1].shared_memory_free.reset();
  const nlohmann::ordered_json document = allocation_document(allocation, judge(allocation), false);
  EXPECT_EQ(document["schema"], 1);
  EXPECT_EQ(document["can_train"], false);
  ASSERT_EQ(document["ranks"].size(), 4u);
  const auto& row = document["ranks"][3];
  EXPECT_EQ(row["rank"], 3);
  EXPECT_EQ(row["host"], "node1");
  EXPECT_EQ(row["device"]["uuid"], "GPU-3");
  EXPECT_EQ(row["interface"], "ib0");
  EXPECT_EQ(row["address"], "10.0.0.2");
  EXPECT_EQ(row["allowed_cores"], 4);
  EXPECT_EQ(row["versions"]["git"], "abc");
  EXPECT_DOUBLE_EQ(row["clock_ahead_seconds"].get<double>(), 3e-4);
  EXPECT_TRUE(document["ranks"][0]["bytes_per_second"].is_null());
  EXPECT_TRUE(document["ranks"][1]["shared_memory_free_bytes"].is_null());
  EXPECT_EQ(document["all_reduce"]["bytes"], 8 << 20);
  EXPECT_DOUBLE_EQ(document["all_reduce"]["seconds"].get<double>(), 0.01);
}

}  // namespace
}  // namespace yolodist::commands
