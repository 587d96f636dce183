// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace yolodist::loss {

// A labelled box of a batch: centre and size as fractions of the network's input.
struct BatchTarget {
  int64_t image = 0;  // index in the group
  int64_t class_index = 0;
  float x = 0, y = 0, w = 0, h = 0;
};

struct LevelShape {
  int64_t rows = 0, columns = 0;  // G_y, G_x
};

// Anchors of each level in grid units: [level][anchor]{w, h}.
using GridAnchors = std::vector<std::vector<std::array<float, 2>>>;

// The cells of one level that answer for targets: parallel arrays of n entries, in YOLOv5's order of
// emission.
struct LevelMatches {
  std::vector<int64_t> image, anchor, row, column, class_index;
  std::vector<float> x, y, w, h;          // the box, relative to its cell, in grid units
  std::vector<float> anchor_w, anchor_h;  // grid units
  int64_t count() const { return static_cast<int64_t>(image.size()); }
};

// Which cells of which anchors of one level answer for which targets. Always in fp32, whatever the precision
// of the model: in fp64 boxes whose centre lies on half a cell would choose other cells. Source:
// ultralytics/yolov5 v7.0 utils/loss.py, ComputeLoss.build_targets.
LevelMatches match_level(std::span<const BatchTarget> targets, std::span<const std::array<float, 2>> anchors,
                         LevelShape shape, float anchor_threshold);

std::vector<LevelMatches> match_targets(std::span<const BatchTarget> targets, const GridAnchors& anchors,
                                        std::span<const LevelShape> shapes, float anchor_threshold);

}  // namespace yolodist::loss
