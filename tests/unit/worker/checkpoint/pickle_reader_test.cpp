// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/checkpoint/pickle_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/error.h"

namespace yolodist::checkpoint {
namespace {

using Kind = PickleValue::Kind;

template <size_t N>
std::string bytes(const char (&text)[N]) {
  return std::string(text, N - 1);
}

template <size_t N>
Pickle read(const char (&text)[N]) {
  return read_pickle(bytes(text), "x.pt");
}

std::string why_refused(const std::string& data) {
  try {
    read_pickle(data, "x.pt");
  } catch (const DataError& error) {
    return error.what();
  }
  return "not refused";
}

TEST(PickleReader, ReadsNumbers) {
  EXPECT_EQ(read("\x80\x02K\xff.").root->integer, 255);
  EXPECT_EQ(read("\x80\x02M\xff\xff.").root->integer, 65535);
  EXPECT_EQ(read("\x80\x02J\xfe\xff\xff\xff.").root->integer, -2);
  EXPECT_EQ(read("\x80\x02\x8a\x00.").root->integer, 0);
  EXPECT_EQ(read("\x80\x02\x8a\x01\xff.").root->integer, -1);
  EXPECT_EQ(read("\x80\x02\x8a\x02\xff\x00.").root->integer, 255);
  EXPECT_EQ(read("\x80\x02\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x80.").root->integer, INT64_MIN);
  EXPECT_EQ(read("\x80\x02G\x3f\xf8\x00\x00\x00\x00\x00\x00.").root->number, 1.5);
  EXPECT_EQ(read("\x80\x02\x88.").root->integer, 1);
}

TEST(PickleReader, ReadsProtocol4) {
  // pickle.dumps({"a": [1, (2,)], "b": {3}}, protocol=4)
  const Pickle pickle = read(
      "\x80\x04\x95\x1a\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x01"
      "a\x94]\x94(K\x01K\x02\x85\x94"
      "e\x8c\x01"
      "b\x94\x8f\x94(K\x03\x90u.");
  ASSERT_EQ(pickle.root->kind, Kind::dict);
  ASSERT_EQ(pickle.root->items.size(), 4U);
  EXPECT_EQ(pickle.root->items[0]->text, "a");
  EXPECT_EQ(pickle.root->items[1]->items[1]->items[0]->integer, 2);
  EXPECT_EQ(pickle.root->items[3]->kind, Kind::set);
}

TEST(PickleReader, ExecutesNothingAndNamesEveryGlobal) {
  const Pickle pickle = read("\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x02ls\x85R.");
  EXPECT_EQ(pickle.root->kind, Kind::object);
  EXPECT_EQ(pickle.root->callable->text, "posix system");
  EXPECT_EQ(pickle.root->arguments->items[0]->text, "ls");
  EXPECT_THAT(pickle.globals, testing::ElementsAre("posix system"));
}

TEST(PickleReader, KeepsTheStateOfObjects) {
  const Pickle pickle = read(
      "\x80\x02"
      "cm\nC\n)\x81}U\x01xK\x05sb.");
  ASSERT_EQ(pickle.root->kind, Kind::object);
  EXPECT_EQ(pickle.root->state->items[1]->integer, 5);
}

TEST(PickleReader, RecallsTheSameValue) {
  const Pickle pickle = read(
      "\x80\x02](]q\x01h\x01"
      "e.");
  EXPECT_EQ(pickle.root->items[0], pickle.root->items[1]);
}

TEST(PickleReader, RefusesWhatItCannotRead) {
  EXPECT_THAT(why_refused(bytes("\x80\x02K")), testing::HasSubstr("cut short"));
  EXPECT_THAT(why_refused(bytes("\x80\x02X\xff\xff\xff\xff"
                                "ab.")),
              testing::HasSubstr("cut short"));
  EXPECT_THAT(why_refused(bytes("\x80\x05\x8d\xff\xff\xff\xff\xff\xff\xff\xff.")),
              testing::HasSubstr("cut short"));
  EXPECT_THAT(why_refused(bytes("\x80\x02.")), testing::HasSubstr("empty stack"));
  EXPECT_THAT(why_refused(bytes("\x80\x02K\x01(0.")), testing::Eq("not refused"));
  EXPECT_THAT(why_refused(bytes("\x80\x02K\x01(\x85.")), testing::HasSubstr("empty stack"));
  EXPECT_THAT(why_refused(bytes("\x80\x02t.")), testing::HasSubstr("lacks a mark"));
  EXPECT_THAT(why_refused(bytes("\x80\x02h\x07.")), testing::HasSubstr("never stored"));
  EXPECT_THAT(why_refused(bytes("\x80\x02K\x01K\x02"
                                "a.")),
              testing::HasSubstr("no container"));
  EXPECT_THAT(why_refused(bytes("\x80\x02}(K\x01u.")), testing::HasSubstr("no container"));
  EXPECT_THAT(why_refused(bytes("\x80\x02(K\x01"
                                "d.")),
              testing::HasSubstr("no value"));
  EXPECT_THAT(why_refused(bytes("\x80\x02K\x01K\x02R.")), testing::HasSubstr("no tuple"));
  EXPECT_THAT(why_refused(bytes("\x80\x02K\x01K\x02"
                                "b.")),
              testing::HasSubstr("no object"));
  EXPECT_THAT(why_refused(bytes("\x80\x02\x8a\x09\x01\x00\x00\x00\x00\x00\x00\x00\x01.")),
              testing::HasSubstr("64 bits"));
  EXPECT_THAT(why_refused(bytes("\x80\x09.")), testing::HasSubstr("protocol 9"));
  EXPECT_THAT(why_refused(bytes("\x80\x02\xf0.")), testing::HasSubstr("unknown pickle opcode 240"));
  EXPECT_THAT(why_refused(std::string(kLargestPickleBytes + 1, '}')), testing::HasSubstr("at most"));
}

TEST(PickleReader, SurvivesAMillionNestedLists) {
  std::string data = "\x80\x02" + std::string(1000000, ']') + std::string(999999, 'a') + ".";
  EXPECT_EQ(read_pickle(data, "x.pt").root->items.size(), 1U);
}

}  // namespace
}  // namespace yolodist::checkpoint
