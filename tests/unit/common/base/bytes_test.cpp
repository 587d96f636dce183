// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/base/bytes.h"

#include <string>

#include <gmock/gmock.h>

#include "tests/support/thrown.h"

namespace yolodist {
namespace {

using test::thrown;
using testing::HasSubstr;

TEST(Bytes, ReadsBinaryAndDecimalUnits) {
  EXPECT_EQ(parse_bytes("16GiB", "--device-memory").count, 17179869184);
  EXPECT_EQ(parse_bytes("16 GB", "--device-memory").count, 16000000000);
  EXPECT_EQ(parse_bytes("500mb", "--device-memory").count, 500000000);
  EXPECT_EQ(parse_bytes(" 64 KiB ", "--device-memory").count, 65536);
  EXPECT_EQ(parse_bytes("1.5GiB", "--device-memory").count, 1610612736);
  EXPECT_EQ(parse_bytes("123", "--device-memory").count, 123);
  EXPECT_EQ(parse_bytes("0", "--device-memory").count, 0);
}

TEST(Bytes, RefusesEverythingElseNamingTheOption) {
  for (const char* text :
       {"", "GiB", "16 apples", "-1GiB", "16GiBs", "nan", "inf", "1e30", "16 Gi B", "0x10"}) {
    const std::string message = thrown<UsageError>([&] { parse_bytes(text, "--device-memory"); });
    EXPECT_THAT(message, HasSubstr("--device-memory")) << "'" << text << "'";
  }
}

TEST(Bytes, ReadsAReserveAsShareOrAmount) {
  EXPECT_EQ(parse_reserve("5%", Bytes{1000}, "--memory-reserve").count, 50);
  EXPECT_EQ(parse_reserve("0.05 %", Bytes{1000}, "--memory-reserve").count, 1) << "rounded up";
  EXPECT_EQ(parse_reserve("0", Bytes{1000}, "--memory-reserve").count, 0);
  EXPECT_EQ(parse_reserve("1MiB", Bytes{0}, "--memory-reserve").count, 1048576);
  for (const char* text : {"100%", "-1%", "%", "5%%", "x%", "5 percent"}) {
    EXPECT_THAT(thrown<UsageError>([&] { parse_reserve(text, Bytes{1000}, "--memory-reserve"); }),
                HasSubstr("--memory-reserve"))
        << text;
  }
}

TEST(Bytes, PrintsThreeDigits) {
  EXPECT_EQ(to_string(Bytes{512}), "512 B");
  EXPECT_EQ(to_string(Bytes{1610612736}), "1.50 GiB");
  EXPECT_EQ(to_string(Bytes{15 * 1048576}), "15.0 MiB");
  EXPECT_EQ(to_string(Bytes{312 * 1048576}), "312 MiB");
  EXPECT_EQ(to_string(Bytes{-2048}), "-2.00 KiB");
}

TEST(Bytes, AddsAndCompares) {
  EXPECT_EQ(Bytes{1} + Bytes{2}, Bytes{3});
  EXPECT_LT(Bytes{1}, Bytes{2});
}

}  // namespace
}  // namespace yolodist
