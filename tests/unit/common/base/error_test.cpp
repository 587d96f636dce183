// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/base/error.h"

#include <string>

#include <gmock/gmock.h>

#include "common/base/deadline.h"
#include "tests/support/thrown.h"

namespace yolodist {
namespace {

using test::thrown;
using testing::HasSubstr;

TEST(Error, EachTypeCarriesItsExitCode) {
  EXPECT_EQ(to_int(UsageError("x").exit_code()), 64);
  EXPECT_EQ(to_int(DataError("x").exit_code()), 65);
  EXPECT_EQ(to_int(DeviceUnavailable("x").exit_code()), 69);
  EXPECT_EQ(to_int(InternalError("x").exit_code()), 70);
  EXPECT_EQ(to_int(OutOfMemory("x").exit_code()), 71);
  EXPECT_EQ(to_int(StorageError("x").exit_code()), 74);
  EXPECT_EQ(to_int(PeerLost("x").exit_code()), 76);
  EXPECT_EQ(to_int(Diverged("x").exit_code()), 80);
}

TEST(Error, OneLineJoinsMessageAndHint) {
  EXPECT_EQ(DataError("no such file", "Check the path.").one_line(), "no such file. Check the path.");
  EXPECT_EQ(DataError("done.", "Go on.").one_line(), "done. Go on.");
  EXPECT_EQ(DataError("no such file").one_line(), "no such file");
}

TEST(Error, CheckNamesClaimAndPlace) {
  EXPECT_NO_THROW(check(true, "holds"));
  const std::string message = thrown<InternalError>([] { check(false, "one is two"); });
  EXPECT_THAT(message, HasSubstr("one is two"));
  EXPECT_THAT(message, HasSubstr("error_test.cpp:"));
}

TEST(Deadline, PassesWhenItsTimeIsUp) {
  EXPECT_TRUE(Deadline::after(std::chrono::milliseconds(-1)).has_passed());
  EXPECT_EQ(Deadline::after(std::chrono::milliseconds(-1)).remaining().count(), 0);
  const Deadline later = Deadline::after(std::chrono::hours(1));
  EXPECT_FALSE(later.has_passed());
  EXPECT_GT(later.remaining(), std::chrono::minutes(59));
}

TEST(Deadline, NeverNeverPasses) {
  EXPECT_FALSE(Deadline::never().has_passed());
  EXPECT_EQ(Deadline::never().remaining(), std::chrono::milliseconds::max());
}

}  // namespace
}  // namespace yolodist
