// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/run/failure_report.h"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "common/run/run_directory.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/thrown.h"

namespace yolodist::run {
namespace {

using test::TemporaryFolder;
using test::thrown;
using testing::AllOf;
using testing::HasSubstr;

FailureReport report(int rank, int exit_code, int64_t time_ns) {
  return {0, rank, "node1", "something broke", "", "forward", exit_code, time_ns};
}

TEST(FailureReport, SurvivesTheDisk) {
  const TemporaryFolder folder;
  const FailureReport written = {2,      5,  "node \"7\"",       "label.txt:3: class 91", "Fix the label.",
                                 "data", 65, 1900000000123456789};
  const auto file = RunDirectory{folder.path()}.failure_report(2, 5);
  write_failure_report(file, written);
  EXPECT_EQ(file.filename(), "attempt-2.rank-5.json");
  EXPECT_EQ(read_failure_report(file), written);
}

TEST(FailureReport, BeginsWithTheSchema) {
  EXPECT_EQ(to_json(FailureReport{}).begin().key(), "schema");
}

TEST(FailureReport, KeepsWhatIsKnownOfTheMemory) {
  const TemporaryFolder folder;
  FailureReport written = report(1, 71, 5);
  EXPECT_FALSE(to_json(written).contains("memory"));
  EXPECT_FALSE(to_json(written).contains("collectives"));
  written.memory = {{"piece", "model.4.cv1"}, {"requested_bytes", 4096}};
  written.collectives = {{"rank", 1}, {"last", nlohmann::json::array()}};
  write_failure_report(folder / "f.json", written);
  EXPECT_EQ(read_failure_report(folder / "f.json"), written);
  EXPECT_NE(read_failure_report(folder / "f.json"), report(1, 71, 5));
}

TEST(FailureReport, BytesThatAreNotUtf8DoNotStopIt) {
  const TemporaryFolder folder;
  FailureReport odd = report(0, 70, 1);
  odd.what = "file \xff.jpg";
  write_failure_report(folder / "f.json", odd);
  EXPECT_THAT(read_failure_report(folder / "f.json").what, HasSubstr(".jpg"));
}

TEST(FailureReport, RefusesWhatIsNone) {
  const TemporaryFolder folder;
  EXPECT_THAT(thrown<DataError>([&] { read_failure_report(folder.write("f.json", "{\"rank\": 1")); }),
              HasSubstr("f.json"));
  EXPECT_THAT(thrown<DataError>([&] { read_failure_report(folder.write("f.json", "[]")); }),
              HasSubstr("f.json"));
  nlohmann::json document = to_json(report(0, 65, 1));
  document["rank"] = "zero";
  EXPECT_THAT(thrown<DataError>([&] { failure_report_from_json(document, "a message"); }),
              HasSubstr("a message"));
  document.erase("rank");
  EXPECT_THAT(thrown<DataError>([&] { failure_report_from_json(document, "a message"); }),
              AllOf(HasSubstr("a message"), HasSubstr("rank")));
}

TEST(EarliestMostSpecific, IsNothingWithoutReports) {
  EXPECT_EQ(earliest_most_specific({}), nullptr);
}

TEST(EarliestMostSpecific, PrefersSpecificCodesToLostPeers) {
  EXPECT_EQ(earliest_most_specific({report(0, 76, 10), report(1, 65, 20), report(2, 76, 5)})->rank, 1);
  EXPECT_EQ(earliest_most_specific({report(0, 70, 10), report(1, 137, 20)})->rank, 1);
}

TEST(EarliestMostSpecific, PrefersABugToALostPeerAndBothToARegularEnd) {
  EXPECT_EQ(earliest_most_specific({report(0, 76, 10), report(1, 70, 20)})->rank, 1);
  EXPECT_EQ(earliest_most_specific({report(0, 75, 10), report(1, 76, 20), report(2, 0, 1)})->rank, 1);
}

TEST(EarliestMostSpecific, TakesTheEarliestOfEquals) {
  EXPECT_EQ(earliest_most_specific({report(0, 71, 30), report(1, 65, 20), report(2, 74, 25)})->rank, 1);
  EXPECT_EQ(earliest_most_specific({report(3, 71, 20), report(1, 65, 20)})->rank, 1);
}

}  // namespace
}  // namespace yolodist::run
