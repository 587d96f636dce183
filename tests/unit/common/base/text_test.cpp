// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/base/text.h"

#include <cmath>
#include <cstdlib>
#include <limits>

#include <gmock/gmock.h>

namespace yolodist {
namespace {

using testing::ElementsAre;

TEST(Text, NearestFindsTheMisspeltWord) {
  EXPECT_EQ(nearest("epohcs", {"batch", "epochs", "imgsz"}), "epochs");
  EXPECT_EQ(nearest("yolov5", {"yolov5n", "yolov5x6"}), "yolov5n");
}

TEST(Text, NearestIsEmptyWhenNothingIsNear) {
  EXPECT_EQ(nearest("completely-different", {"batch", "epochs"}), "");
  EXPECT_EQ(nearest("batch", {}), "");
}

TEST(Text, SplitKeepsEmptyParts) {
  EXPECT_THAT(split("a,,b,", ','), ElementsAre("a", "", "b", ""));
  EXPECT_THAT(split("", ','), ElementsAre(""));
}

TEST(Text, JoinIsTheInverseOfSplit) {
  EXPECT_EQ(join(split("a,,b", ','), ","), "a,,b");
  EXPECT_EQ(join({}, ","), "");
}

TEST(Text, TrimmedRemovesBlanksAtBothEnds) {
  EXPECT_EQ(trimmed(" \t a b\r\n"), "a b");
  EXPECT_EQ(trimmed(" \n "), "");
}

TEST(Text, LowerLeavesOtherBytesAlone) {
  EXPECT_EQ(lower("AbZ-1\xC3\x84"), "abz-1\xC3\x84");
}

TEST(Text, PrintfStringIsAsLongAsNeeded) {
  EXPECT_EQ(printf_string("%5d|%-4s|%.2f", 42, "ab", 1.5), "   42|ab  |1.50");
  EXPECT_EQ(printf_string("%s", std::string(5000, 'x').c_str()), std::string(5000, 'x'));
}

TEST(Text, ExactDecimalReadsBackToTheSameValue) {
  for (const double value : {0.1, 1.0 / 3.0, 1e-300, 123456789.123456789, -0.0,
                             std::numeric_limits<double>::denorm_min(), std::numeric_limits<double>::max()}) {
    const double again = std::strtod(exact_decimal(value).c_str(), nullptr);
    EXPECT_EQ(again, value);
    EXPECT_EQ(std::signbit(again), std::signbit(value));
  }
}

TEST(Text, ExactDecimalIsShortest) {
  EXPECT_EQ(exact_decimal(0.1), "0.1");
  EXPECT_EQ(exact_decimal(0.1f), "0.1");
  EXPECT_EQ(exact_decimal(640.0), "640");
  EXPECT_EQ(exact_decimal(std::nan("")), "nan");
  EXPECT_EQ(exact_decimal(-HUGE_VAL), "-inf");
}

}  // namespace
}  // namespace yolodist
