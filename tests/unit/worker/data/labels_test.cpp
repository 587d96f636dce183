// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/data/labels.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/error.h"

namespace yolodist::data {
namespace {

using testing::HasSubstr;

const LabelRules three_classes{3, false, "set.yaml"};

Labels parse(const std::string& text) {
  return parse_labels(text, three_classes, "labels/a.txt");
}

TEST(LabelPath, ReplacesTheLastImagesFolder) {
  EXPECT_EQ(label_path("/d/images/train/a.jpg"), "/d/labels/train/a.txt");
  EXPECT_EQ(label_path("/images/x/images/b.c.PNG"), "/images/x/labels/b.c.txt");
  EXPECT_EQ(label_path("images/a.jpg"), "labels/a.txt");
  EXPECT_EQ(label_path("/d/pictures/a b (1).jpeg"), "/d/pictures/a b (1).txt");
  EXPECT_EQ(label_path("/d/my_images/a.jpg"), "/d/my_images/a.txt");
}

TEST(ParseLabels, ReadsBoxesWithWindowsLineEndsAndByteOrderMark) {
  const Labels labels = parse(
      "\xEF\xBB\xBF"
      "2 0.5 0.25 0.1 0.2 \r\n\r\n0 +1 0 1e-1 1\r\n  ");
  EXPECT_EQ(labels.problem, "");
  ASSERT_EQ(labels.targets.size(), 2u);
  EXPECT_EQ(labels.targets[0].class_index, 2);
  EXPECT_EQ(labels.targets[0].x, 0.5f);
  EXPECT_EQ(labels.targets[0].h, 0.2f);
  EXPECT_EQ(labels.targets[1].w, 0.1f);
  EXPECT_TRUE(labels.segments.empty());
}

TEST(ParseLabels, TakesTheHullOfPolygons) {
  const Labels labels = parse("1 0.25 0.5 0.75 0.5 0.5 1\n0 0 0 1 0 1 1 0 1\n");
  EXPECT_EQ(labels.problem, "");
  ASSERT_EQ(labels.targets.size(), 2u);
  EXPECT_EQ(labels.targets[0].x, 0.5f);
  EXPECT_EQ(labels.targets[0].y, 0.75f);
  EXPECT_EQ(labels.targets[0].w, 0.5f);
  EXPECT_EQ(labels.targets[0].h, 0.5f);
  ASSERT_EQ(labels.segments.size(), 2u);
  EXPECT_EQ(labels.segments[0].size(), 3u);
  EXPECT_EQ(labels.segments[1].size(), 4u);
}

TEST(ParseLabels, KeepsABoxRowAmongPolygonsABox) {
  const Labels labels = parse("1 0.25 0.5 0.75 0.5 0.5 1\n2 0.5 0.5 0.25 0.5\n");
  ASSERT_EQ(labels.targets.size(), 2u);
  EXPECT_EQ(labels.targets[1].class_index, 2);
  EXPECT_EQ(labels.targets[1].x, 0.5f);
  EXPECT_EQ(labels.targets[1].w, 0.25f);
  ASSERT_EQ(labels.segments[1].size(), 4u);
  EXPECT_EQ(labels.segments[1][0].x, 0.375f);
  EXPECT_EQ(labels.segments[1][0].y, 0.25f);
  EXPECT_EQ(labels.segments[1][2].y, 0.75f);
}

TEST(ParseLabels, RemovesRepeatedRowsAndSortsOnlyThen) {
  const Labels as_they_stand = parse("2 0.5 0.5 0.1 0.1\n1 0.5 0.5 0.1 0.1\n");
  EXPECT_EQ(as_they_stand.targets[0].class_index, 2);
  EXPECT_EQ(as_they_stand.duplicate_count, 0);

  const Labels sorted = parse("2 0.5 0.5 0.1 0.1\n1 0.5 0.7 0.1 0.1\n2 0.5 0.5 0.1 0.1\n1 0.5 0.6 0.1 0.1\n");
  EXPECT_EQ(sorted.duplicate_count, 1);
  ASSERT_EQ(sorted.targets.size(), 3u);
  EXPECT_EQ(sorted.targets[0].class_index, 1);
  EXPECT_EQ(sorted.targets[0].y, 0.6f);
  EXPECT_EQ(sorted.targets[1].y, 0.7f);
  EXPECT_EQ(sorted.targets[2].class_index, 2);
}

TEST(ParseLabels, NamesTheRowThatCannotBeUsed) {
  EXPECT_THAT(parse("0 .5 .5 .1 .1\n0 .5 .5 .1\n").problem, HasSubstr("row 2: 4 columns"));
  EXPECT_THAT(parse("0 .5 .5 .1 .1 .9\n").problem, HasSubstr("6 columns"));
  EXPECT_THAT(parse("0 -.5 .5 .1 .1\n").problem, HasSubstr("negative"));
  EXPECT_THAT(parse("-1 .5 .5 .1 .1\n").problem, HasSubstr("negative"));
  EXPECT_THAT(parse("0 320 .5 .1 .1\n").problem, HasSubstr("320 is over 1"));
  EXPECT_THAT(parse("0 1e999 .5 .1 .1\n").problem, HasSubstr("over 1"));
  EXPECT_THAT(parse("0 nan .5 .1 .1\n").problem, HasSubstr("not a number"));
  EXPECT_THAT(parse("0,0.5,0.5,0.1,0.1\n").problem, HasSubstr("\"0,0.5,0.5,0.1,0.1\" is not a number"));
  EXPECT_THAT(parse("1.5 .5 .5 .1 .1\n").problem, HasSubstr("whole number"));
  EXPECT_THAT(parse("0 .1 .1 .2 .2 .3 .3 .4\n").problem, HasSubstr("neither a box nor a polygon"));
  EXPECT_EQ(parse("0 1e-999 .5 .1 .1\n").problem, "");
}

TEST(ParseLabels, StopsTheRunForAClassOutOfRange) {
  try {
    parse("0 .5 .5 .1 .1\n\n3 .5 .5 .1 .1\n");
    FAIL() << "no error";
  } catch (const DataError& error) {
    EXPECT_STREQ(error.what(), "labels/a.txt:3: class 3, set.yaml has 3 (0-2)");
    EXPECT_EQ(error.exit_code(), ExitCode::data);
  }
  EXPECT_THROW(parse("1e30 .5 .5 .1 .1\n"), DataError);
}

TEST(ParseLabels, SingleClassMakesEveryClassZero) {
  const Labels labels = parse_labels("7 .5 .5 .1 .1\n3 .5 .5 .1 .1\n", {1, true, ""}, "a.txt");
  ASSERT_EQ(labels.targets.size(), 2u);
  EXPECT_EQ(labels.targets[0].class_index, 0);
  EXPECT_EQ(labels.targets[1].class_index, 0);
}

}  // namespace
}  // namespace yolodist::data
