// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/config/run_file.h"

#include <cmath>
#include <string>

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "tests/support/thrown.h"

namespace yolodist::config {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;
using test::thrown;
using testing::HasSubstr;

TEST(RunFile, WritesBlocksInTheOrderGiven) {
  const ordered_json document = {{"schema", 1},
                                 {"name", "exp"},
                                 {"empty", {{"list", json::array()}, {"map", json::object()}}},
                                 {"freeze", {0, 10}},
                                 {"ranks", {{{"rank", 0}, {"card", "H100 PCIe"}}, {{"rank", 1}}}},
                                 {"lr", 1e-7},
                                 {"gain", 1.0},
                                 {"none", nullptr}};
  EXPECT_EQ(to_yaml(document),
            "schema: 1\n"
            "name: exp\n"
            "empty:\n"
            "  list: []\n"
            "  map: {}\n"
            "freeze:\n"
            "  - 0\n"
            "  - 10\n"
            "ranks:\n"
            "  - rank: 0\n"
            "    card: \"H100 PCIe\"\n"
            "  - rank: 1\n"
            "lr: 1.0e-07\n"
            "gain: 1.0\n"
            "none: null\n");
}

TEST(RunFile, EveryKindOfValueReadsBack) {
  const json document = {
      {"text", {"",        " ",        "a b",         "a: b",        "- x",
                "#no",     "yes",      "null",        "True",        "~",
                "3",       "1e5",      "0x1F",        "1_0",         "2001-01-01",
                "'",       "\"q\"",    "back\\slash", "line\nbreak", "tab\t",
                "ünïcode", "a,b",      "[x]",         "{",           "&a",
                "*a",      "!t",       "%",           "@",           "/abs/path.yaml",
                "../rel",  ".inf",     "=",           "<<",          "null\r\n",
                "x:",      "C:\\data", "-",           "?",           "|",
                ">"}},
      {"numbers", {0, -5, INT64_MAX, INT64_MIN, 0.1, 1.0, -2.5e-30, 1e300, 1.0 / 3}},
      {"truth", {true, false}},
      {"none", nullptr},
      {"nested", {{1, {2, {3}}}, json::array({json::array()}), {{"deep", {{"er", {json::object()}}}}}}},
      {"odd keys", {{"a b", 1}, {"yes", 2}, {"3", 3}, {"", 4}}}};
  EXPECT_EQ(from_yaml(to_yaml(document), "run.yaml"), document);
}

TEST(RunFile, KindsOfNumbersStay) {
  const json again = from_yaml(to_yaml({{"a", 1.0}, {"b", 1}}), "run.yaml");
  EXPECT_TRUE(again["a"].is_number_float());
  EXPECT_TRUE(again["b"].is_number_integer());
}

TEST(RunFile, ValuesThatAreNotFiniteStay) {
  const json again = from_yaml(to_yaml({{"a", HUGE_VAL}, {"b", -HUGE_VAL}, {"c", std::nan("")}}), "run.yaml");
  EXPECT_EQ(again["a"], HUGE_VAL);
  EXPECT_EQ(again["b"], -HUGE_VAL);
  EXPECT_TRUE(std::isnan(again["c"].get<double>()));
}

TEST(RunFile, BytesThatAreNotUtf8DoNotStopIt) {
  EXPECT_NO_THROW(from_yaml(to_yaml({{"a", "bad \xff byte"}}), "run.yaml"));
}

TEST(RunFile, TopLevelScalarsAndListsWork) {
  for (const json& document : {json(3), json("a b"), json::array({1, 2}), json::object()}) {
    EXPECT_EQ(from_yaml(to_yaml(document), "x"), document);
  }
}

TEST(RunFile, ErrorsNameFileAndLine) {
  EXPECT_THAT(thrown<DataError>([] { from_yaml("a: 1\nb: [1,\n", "run.yaml"); }), HasSubstr("run.yaml:"));
  EXPECT_THAT(thrown<DataError>([] { from_yaml("a: 1\nb: 2\na: 3\n", "run.yaml"); }),
              HasSubstr("run.yaml:3"));
}

TEST(RunFile, HostileFilesEndInAnError) {
  const auto refusal = [](const std::string& text) {
    return thrown<DataError>([&] { from_yaml(text, "run.yaml"); });
  };
  EXPECT_THAT(refusal("a: 1\nb: &x [*x]\n"), HasSubstr("run.yaml:2: an alias"));
  EXPECT_THAT(refusal(std::string(100000, '[')), HasSubstr("run.yaml:1"));
  EXPECT_THAT(refusal("? [1, 2]\n: 3\n"), HasSubstr("run.yaml:1"));
}

}  // namespace
}  // namespace yolodist::config
