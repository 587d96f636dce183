// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/golden/tensors.h"
#include "worker/loss/targets.h"

namespace yolodist::golden {
namespace {

// Rows of `width` numbers as fp32, one column of them.
std::vector<float> column(const nlohmann::json& rows, size_t which) {
  std::vector<float> values;
  for (const nlohmann::json& row : rows) {
    values.push_back(static_cast<float>(row.at(which).get<double>()));
  }
  return values;
}

std::vector<int64_t> integers(const nlohmann::json& values) {
  return values.get<std::vector<int64_t>>();
}

// Both sides compute in fp32 with one operation a step, so everything is equal to the bit.
void expect_level(const nlohmann::json& expected, const loss::LevelMatches& matches) {
  ASSERT_GT(matches.count(), 0);
  EXPECT_EQ(matches.image, integers(expected.at("image")));
  EXPECT_EQ(matches.anchor, integers(expected.at("anchor")));
  EXPECT_EQ(matches.row, integers(expected.at("gj")));
  EXPECT_EQ(matches.column, integers(expected.at("gi")));
  EXPECT_EQ(matches.class_index, integers(expected.at("class")));
  EXPECT_EQ(matches.x, column(expected.at("box"), 0));
  EXPECT_EQ(matches.y, column(expected.at("box"), 1));
  EXPECT_EQ(matches.w, column(expected.at("box"), 2));
  EXPECT_EQ(matches.h, column(expected.at("box"), 3));
  EXPECT_EQ(matches.anchor_w, column(expected.at("anchor_wh"), 0));
  EXPECT_EQ(matches.anchor_h, column(expected.at("anchor_wh"), 1));
}

TEST(GoldenAssignment, IsThePeersToTheBitAndInItsOrder) {
  const nlohmann::json file = load("assignment");
  ASSERT_EQ(file.at("cases").size(), 2U);
  for (const nlohmann::json& test : file.at("cases")) {
    const auto strides = test.at("strides").get<std::vector<int>>();
    const int height = test.at("height"), width = test.at("width");
    std::vector<loss::LevelShape> shapes;
    for (const int stride : strides) {
      shapes.push_back({height / stride, width / stride});
    }
    const std::vector<loss::LevelMatches> levels = loss::match_targets(
        targets_from(test.at("targets")), grid_anchors_from(test.at("anchors_px"), strides), shapes,
        test.at("anchor_t").get<float>());
    ASSERT_EQ(levels.size(), test.at("levels").size());
    for (size_t level = 0; level < levels.size(); ++level) {
      SCOPED_TRACE(test.at("name").get<std::string>() + ", level " + std::to_string(level));
      expect_level(test.at("levels").at(level), levels[level]);
    }
  }
}

}  // namespace
}  // namespace yolodist::golden
