// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/checkpoint/zip_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/error.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/worker/checkpoint/zip_builder.h"

namespace yolodist::checkpoint {
namespace {

std::string why_refused(const ZipBuilder& zip) {
  const test::TemporaryFolder folder;
  try {
    const ZipReader reader(folder.write("x.zip", zip.finished()));
    for (const auto& [name, record] : reader.records()) {
      reader.read_text(record);
    }
  } catch (const DataError& error) {
    return error.what();
  }
  return "not refused";
}

TEST(Crc32, GivesTheStandardsCheckValue) {
  EXPECT_EQ(crc32("123456789", 9), 0xCBF43926U);
  const std::string text = "The quick brown fox jumps over the lazy dog";
  EXPECT_EQ(crc32(text.data(), text.size()), 0x414FA339U);
  EXPECT_EQ(crc32(text.data() + 5, text.size() - 5, crc32(text.data(), 5)), 0x414FA339U);
}

TEST(ZipReader, ReadsRecordsByName) {
  const test::TemporaryFolder folder;
  ZipBuilder zip;
  zip.add("a/one", "first", 5, crc32("first", 5));
  zip.add("a/two", "");
  const ZipReader reader(folder.write("x.zip", zip.finished()));
  ASSERT_NE(reader.find("a/one"), nullptr);
  EXPECT_EQ(reader.read_text(*reader.find("a/one")), "first");
  EXPECT_EQ(reader.read_text(*reader.find("a/two")), "");
  EXPECT_EQ(reader.find("a"), nullptr);
}

TEST(ZipReader, RefusesAWrongChecksum) {
  ZipBuilder zip;
  zip.add("one", "first", 5, 12345);
  EXPECT_THAT(why_refused(zip), testing::HasSubstr("checksum"));
}

TEST(ZipReader, RefusesARecordLargerThanTheFile) {
  ZipBuilder zip;
  zip.add("one", "first", 4000000000U);
  EXPECT_THAT(why_refused(zip), testing::HasSubstr("larger than the file"));
}

TEST(ZipReader, RefusesOverlappingRecords) {
  ZipBuilder zip;
  for (int i = 0; i < 10; ++i) {
    zip.add(std::string(1, static_cast<char>('a' + i)), "x", 400);
  }
  EXPECT_THAT(why_refused(zip), testing::HasSubstr("together are larger"));
}

TEST(ZipReader, LeavesOutCompressedRecords) {
  const test::TemporaryFolder folder;
  ZipBuilder zip;
  zip.add("one", "first", 5, 0, 8);
  EXPECT_TRUE(ZipReader(folder.write("x.zip", zip.finished())).records().empty());
}

}  // namespace
}  // namespace yolodist::checkpoint
