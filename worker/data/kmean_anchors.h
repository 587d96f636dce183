// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace yolodist::data {

using Anchor = std::array<double, 2>;  // {width, height} in pixels

// Width and height of a label in pixels of the training side. fp32, as the loss compares it with anchors.
struct LabelSides {
  float w = 0, h = 0;
};

// The mean over labels of the ratio (at most 1) to the best anchor, nothing for those that none matches.
// `anchor_t`: the largest ratio of sides at which an anchor still matches.
double anchor_fitness(std::span<const LabelSides> sides, std::span<const Anchor> anchors, double anchor_t);

// `count` anchors, ascending by area: k-means on the labels of 2 px or more, then evolution. A pure function
// of its arguments. Source: ultralytics/yolov5 v7.0 utils/autoanchor.py, kmean_anchors, whose k-means is
// SciPy's.
std::vector<Anchor> kmean_anchors(std::span<const LabelSides> sides, int count, int imgsz_px, double anchor_t,
                                  int64_t seed, int generations = 1000);

}  // namespace yolodist::data
