// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
// The order of emission is held to the Python peer in tests/golden (assignment).
#include "worker/loss/targets.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <tuple>

#include "common/base/philox.h"

namespace yolodist::loss {
namespace {

using Anchors = std::vector<std::array<float, 2>>;

// A fraction of the side that is `cells` to the bit when multiplied by the side's cells.
float fraction(float cells, int64_t side) {
  const auto count = static_cast<float>(side);
  float value = cells / count;
  for (int k = 0; k < 4 && value * count < cells; ++k) {
    value = std::nextafter(value, 2.0F);
  }
  for (int k = 0; k < 4 && value * count > cells; ++k) {
    value = std::nextafter(value, -1.0F);
  }
  return value;
}

// image, anchor, row, column, class, x, y, w, h
using Match = std::tuple<int64_t, int64_t, int64_t, int64_t, int64_t, float, float, float, float>;

std::vector<Match> sorted(const LevelMatches& matches) {
  std::vector<Match> rows;
  for (size_t k = 0; k < matches.image.size(); ++k) {
    rows.emplace_back(matches.image[k], matches.anchor[k], matches.row[k], matches.column[k],
                      matches.class_index[k], matches.x[k], matches.y[k], matches.w[k], matches.h[k]);
  }
  std::sort(rows.begin(), rows.end());
  return rows;
}

// The cells along one axis that answer for a centre, by where it lies in its cell: [centre, neighbour?]. A
// centre on a cell's edge has its own cell twice, once as that cell's neighbour from the right (or below).
std::vector<int64_t> neighbours(float centre, int64_t side) {
  const auto cell = static_cast<int64_t>(std::floor(centre));
  const double inside = static_cast<double>(centre) - static_cast<double>(cell);
  const bool far_from_end = static_cast<double>(side) - static_cast<double>(centre) > 1;
  std::vector<int64_t> cells;
  if (inside < 0.5 && centre > 1) {
    cells.push_back(cell - 1);
  }
  if ((inside > 0.5 || inside == 0) && far_from_end) {
    cells.push_back(inside == 0 ? cell : cell + 1);
  }
  return cells;
}

std::vector<Match> brute_force(const std::vector<BatchTarget>& targets, const Anchors& anchors,
                               LevelShape shape, float threshold) {
  std::vector<Match> rows;
  for (const BatchTarget& t : targets) {
    const float x = t.x * static_cast<float>(shape.columns), y = t.y * static_cast<float>(shape.rows);
    const float w = t.w * static_cast<float>(shape.columns), h = t.h * static_cast<float>(shape.rows);
    std::vector<std::pair<int64_t, int64_t>> cells = {
        {static_cast<int64_t>(std::floor(y)), static_cast<int64_t>(std::floor(x))}};
    for (const int64_t column : neighbours(x, shape.columns)) {
      cells.emplace_back(cells[0].first, column);
    }
    for (const int64_t row : neighbours(y, shape.rows)) {
      cells.emplace_back(row, cells[0].second);
    }
    for (size_t a = 0; a < anchors.size(); ++a) {
      const float ratios[] = {w / anchors[a][0], anchors[a][0] / w, h / anchors[a][1], anchors[a][1] / h};
      if (*std::max_element(std::begin(ratios), std::end(ratios)) >= threshold) {
        continue;
      }
      for (const auto& [row, column] : cells) {
        const int64_t r = std::clamp<int64_t>(row, 0, shape.rows - 1);
        const int64_t c = std::clamp<int64_t>(column, 0, shape.columns - 1);
        rows.emplace_back(t.image, static_cast<int64_t>(a), r, c, t.class_index, x - static_cast<float>(c),
                          y - static_cast<float>(r), w, h);
      }
    }
  }
  std::sort(rows.begin(), rows.end());
  return rows;
}

// Centres anywhere, and often on integers, halves and borders.
float random_centre(Draws64& draws, int64_t side) {
  const double anywhere = draws.uniform();
  const double kind = draws.uniform();
  if (kind < 0.5) {
    return static_cast<float>(anywhere);
  }
  const double cells = anywhere * static_cast<double>(side);
  const float chosen = kind < 0.65   ? static_cast<float>(std::floor(cells))
                       : kind < 0.8  ? static_cast<float>(std::floor(cells)) + 0.5F
                       : kind < 0.9  ? static_cast<float>(side)
                       : kind < 0.95 ? 0.0F
                                     : static_cast<float>(side) - 1;
  return fraction(chosen, side);
}

TEST(Targets, AreWhatABruteForceSearchFinds) {
  const Anchors anchors = {{1.25F, 1.625F}, {2.0F, 3.75F}, {4.125F, 2.875F}};
  Draws64 draws(3, RandomStream::weights, 0);
  size_t found = 0;
  for (int round = 0; round < 200; ++round) {
    const LevelShape shape{1 + draws.below(24), 1 + draws.below(24)};
    std::vector<BatchTarget> targets;
    for (uint32_t k = draws.below(12); k > 0; --k) {
      targets.push_back({draws.below(4), draws.below(3), random_centre(draws, shape.columns),
                         random_centre(draws, shape.rows), static_cast<float>(draws.uniform(0.001, 1)),
                         static_cast<float>(draws.uniform(0.001, 1))});
    }
    const LevelMatches matches = match_level(targets, anchors, shape, 4.0F);
    EXPECT_EQ(sorted(matches), brute_force(targets, anchors, shape, 4.0F)) << "round " << round;
    found += static_cast<size_t>(matches.count());
    for (size_t k = 0; k < matches.image.size(); ++k) {
      const auto& anchor = anchors.at(static_cast<size_t>(matches.anchor[k]));
      EXPECT_EQ(matches.anchor_w[k], anchor[0]);
      EXPECT_EQ(matches.anchor_h[k], anchor[1]);
    }
  }
  EXPECT_GT(found, 2000U);
}

// Worked examples, 20 cells wide; y = 5.5 has no neighbour.
TEST(Targets, HaveTheKnownNeighbours) {
  struct Example {
    float x;
    std::vector<int64_t> columns;  // centre, left, right, in this order
  };
  const Example examples[] = {{3.0F, {3, 2, 3}}, {3.2F, {3, 2}}, {3.5F, {3}},       {3.7F, {3, 4}},
                              {0.3F, {0}},       {1.0F, {1, 1}}, {19.0F, {19, 18}}, {19.6F, {19}},
                              {20.0F, {19, 19}}, {0.0F, {0, 0}}};
  for (const auto& [x, columns] : examples) {
    const std::vector<BatchTarget> targets = {{0, 0, fraction(x, 20), fraction(5.5F, 20), 0.1F, 0.1F}};
    const LevelMatches matches = match_level(targets, Anchors{{2.0F, 2.0F}}, {20, 20}, 4.0F);
    EXPECT_EQ(matches.column, columns) << "x = " << x;
    EXPECT_EQ(matches.row, std::vector<int64_t>(columns.size(), 5)) << "x = " << x;
    for (size_t k = 0; k < matches.image.size(); ++k) {
      EXPECT_EQ(matches.x[k], fraction(x, 20) * 20 - static_cast<float>(matches.column[k]));
      EXPECT_EQ(matches.y[k], 0.5F);
    }
  }
}

TEST(Targets, FitAnAnchorStrictlyBelowTheThreshold) {
  const auto count = [](float w, float h) {
    const std::vector<BatchTarget> targets = {{0, 0, 0.53125F, 0.53125F, w / 16, h / 16}};
    return match_level(targets, Anchors{{2.0F, 2.0F}}, {16, 16}, 4.0F).count();
  };
  EXPECT_EQ(count(2, 2), 1);
  EXPECT_EQ(count(8, 2), 0) << "exactly 4 times as wide";
  EXPECT_EQ(count(std::nextafter(8.0F, 0.0F), 2), 1);
  EXPECT_EQ(count(2, 0.5F), 0) << "exactly a quarter as high";
  EXPECT_EQ(count(2, std::nextafter(0.5F, 1.0F)), 1);
  EXPECT_EQ(count(7, 9), 0) << "both sides have to fit";
}

TEST(Targets, OfNothingAreNothing) {
  const std::vector<LevelShape> shapes = {{8, 8}, {4, 4}};
  const GridAnchors anchors = {{{1, 1}}, {{2, 2}}};
  const std::vector<LevelMatches> levels = match_targets({}, anchors, shapes, 4.0F);
  ASSERT_EQ(levels.size(), 2U);
  for (const LevelMatches& level : levels) {
    EXPECT_EQ(level.count(), 0);
    EXPECT_TRUE(level.x.empty() && level.anchor_w.empty() && level.row.empty());
  }
}

TEST(Targets, UseEachLevelsOwnShapeAndAnchors) {
  const std::vector<LevelShape> shapes = {{8, 16}, {4, 8}};
  const GridAnchors anchors = {{{1, 1}, {8, 8}}, {{4, 4}}};
  const std::vector<BatchTarget> targets = {
      {1, 2, fraction(3.5F, 16), fraction(2.5F, 8), 1.0F / 16, 1.0F / 8}};
  const std::vector<LevelMatches> levels = match_targets(targets, anchors, shapes, 4.0F);
  ASSERT_EQ(levels[0].count(), 1);
  EXPECT_EQ(levels[0].image[0], 1);
  EXPECT_EQ(levels[0].class_index[0], 2);
  EXPECT_EQ(levels[0].anchor[0], 0);
  EXPECT_EQ(levels[0].column[0], 3);
  EXPECT_EQ(levels[0].row[0], 2);
  EXPECT_EQ(levels[1].count(), 0) << "half a cell is an eighth of that anchor";
}

}  // namespace
}  // namespace yolodist::loss
