// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/base/duration.h"

#include <gmock/gmock.h>

#include "common/base/error.h"

namespace yolodist {
namespace {

TEST(ParseDuration, ReadsWhatSlurmReadsAndUnits) {
  const std::vector<std::pair<const char*, int64_t>> cases = {
      {"30", 1800},      {"5:30", 330},          {"01:00:00", 3600}, {"1-0", 86400},
      {"1-2:30", 95400}, {"2-03:04:05", 183845}, {"90s", 90},        {"10min", 600},
      {"10m", 600},      {"24h", 86400},         {"2d", 172800},     {"100:00:00", 360000}};
  for (const auto& [text, seconds] : cases) {
    EXPECT_EQ(parse_duration(text, "--time-limit").count(), seconds) << text;
  }
}

TEST(ParseDuration, RefusesTheRest) {
  for (const char* text : {"", "-", "1-", "abc", "1:2:3:4", "1:", ":1", "-5", "5 min", "1.5h",
                           "99999999999999999999", "min", "UNLIMITED"}) {
    EXPECT_THROW(parse_duration(text, "--time-limit"), UsageError) << text;
  }
}

TEST(DurationText, LeavesOutWhatIsNotThere) {
  EXPECT_EQ(to_string(std::chrono::seconds(5)), "0:05");
  EXPECT_EQ(to_string(std::chrono::seconds(3723)), "1:02:03");
  EXPECT_EQ(to_string(std::chrono::seconds(90061)), "1-01:01:01");
}

}  // namespace
}  // namespace yolodist
