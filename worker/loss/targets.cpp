// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/loss/targets.h"

#include <algorithm>
#include <cmath>

namespace yolodist::loss {
namespace {

// A target that an anchor fits, in grid units.
struct Candidate {
  const BatchTarget* target;
  int64_t anchor;
  float x, y, w, h;
};

enum class Neighbour { centre, left, up, right, down };

// Whether the cell on that side of the centre's cell answers too: the centre lies in the nearer half of its
// own cell, and the neighbour is inside the grid. All comparisons are strict.
bool applies(Neighbour side, const Candidate& c, float columns, float rows) {
  const auto near = [](float position) { return std::fmod(position, 1.0F) < 0.5F && position > 1.0F; };
  switch (side) {
    case Neighbour::centre:
      return true;
    case Neighbour::left:
      return near(c.x);
    case Neighbour::up:
      return near(c.y);
    case Neighbour::right:
      return near(columns - c.x);
    case Neighbour::down:
      return near(rows - c.y);
  }
  return false;
}

std::array<float, 2> offset(Neighbour side) {
  switch (side) {
    case Neighbour::left:
      return {0.5F, 0.0F};
    case Neighbour::up:
      return {0.0F, 0.5F};
    case Neighbour::right:
      return {-0.5F, 0.0F};
    case Neighbour::down:
      return {0.0F, -0.5F};
    case Neighbour::centre:
      break;
  }
  return {0.0F, 0.0F};
}

std::vector<Candidate> fitting(std::span<const BatchTarget> targets,
                               std::span<const std::array<float, 2>> anchors, float columns, float rows,
                               float threshold) {
  std::vector<Candidate> result;
  for (size_t a = 0; a < anchors.size(); ++a) {
    for (const BatchTarget& target : targets) {
      const float w = target.w * columns, h = target.h * rows;
      const float ratio_w = w / anchors[a][0], ratio_h = h / anchors[a][1];
      const float worst = std::max(std::max(ratio_w, 1 / ratio_w), std::max(ratio_h, 1 / ratio_h));
      if (worst < threshold) {
        result.push_back({&target, static_cast<int64_t>(a), target.x * columns, target.y * rows, w, h});
      }
    }
  }
  return result;
}

}  // namespace

LevelMatches match_level(std::span<const BatchTarget> targets, std::span<const std::array<float, 2>> anchors,
                         LevelShape shape, float anchor_threshold) {
  const float columns = static_cast<float>(shape.columns), rows = static_cast<float>(shape.rows);
  const std::vector<Candidate> candidates = fitting(targets, anchors, columns, rows, anchor_threshold);
  LevelMatches matches;
  for (const Neighbour side :
       {Neighbour::centre, Neighbour::left, Neighbour::up, Neighbour::right, Neighbour::down}) {
    const auto [dx, dy] = offset(side);
    for (const Candidate& c : candidates) {
      if (!applies(side, c, columns, rows)) {
        continue;
      }
      // Truncation, then the clamp: the box below is relative to the clamped cell.
      const int64_t column = std::clamp<int64_t>(static_cast<int64_t>(c.x - dx), 0, shape.columns - 1);
      const int64_t row = std::clamp<int64_t>(static_cast<int64_t>(c.y - dy), 0, shape.rows - 1);
      const auto& anchor = anchors[static_cast<size_t>(c.anchor)];
      matches.image.push_back(c.target->image);
      matches.anchor.push_back(c.anchor);
      matches.row.push_back(row);
      matches.column.push_back(column);
      matches.class_index.push_back(c.target->class_index);
      matches.x.push_back(c.x - static_cast<float>(column));
      matches.y.push_back(c.y - static_cast<float>(row));
      matches.w.push_back(c.w);
      matches.h.push_back(c.h);
      matches.anchor_w.push_back(anchor[0]);
      matches.anchor_h.push_back(anchor[1]);
    }
  }
  return matches;
}

std::vector<LevelMatches> match_targets(std::span<const BatchTarget> targets, const GridAnchors& anchors,
                                        std::span<const LevelShape> shapes, float anchor_threshold) {
  std::vector<LevelMatches> levels;
  for (size_t level = 0; level < shapes.size(); ++level) {
    levels.push_back(match_level(targets, anchors.at(level), shapes[level], anchor_threshold));
  }
  return levels;
}

}  // namespace yolodist::loss
