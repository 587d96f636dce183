// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "worker/data/index.h"
#include "worker/data/kmean_anchors.h"

namespace yolodist::data {

using Anchors = std::vector<std::vector<Anchor>>;  // of each level, small to large

// How well anchors fit: the share of labels that some anchor may match, and how many anchors may match a
// label on average.
struct AnchorFit {
  double best_possible_recall = 0;
  double anchors_per_target = 0;
};

// Every label with its picture's longer side at imgsz.
std::vector<LabelSides> label_sides(const Index& index, int imgsz_px);
// The same, all labels of a picture times its factor: one a picture.
std::vector<LabelSides> label_sides(const Index& index, int imgsz_px, std::span<const double> factors);
// Factors from 0.9 to 1.1, one a picture, from counters.
std::vector<double> anchor_jitter(size_t picture_count, int64_t seed);

// `anchor_t`: the largest ratio of sides at which an anchor still matches.
AnchorFit anchor_fit(std::span<const LabelSides> sides, std::span<const Anchor> anchors, double anchor_t);

struct AnchorReport {
  AnchorFit fit;                     // of the anchors in use, on jittered labels
  std::optional<AnchorFit> new_fit;  // of those found, if they were looked for
  std::optional<Anchors> better;     // only if their best possible recall is higher; shaped as `anchors`
  std::vector<std::string> lines;    // for the console
};

// Keeps anchors whose best possible recall is over 0.98, else looks for as many better ones. `anchors` are
// the model's in pixels (with hyp.anchors: any placeholders, that many a level). A pure function of its
// arguments, so every rank may call it; across unlike processors take rank 0's. Source: ultralytics/yolov5
// v7.0 utils/autoanchor.py, check_anchors.
AnchorReport check_anchors(const Index& index, const Anchors& anchors, double anchor_t, int imgsz_px,
                           int64_t seed);

}  // namespace yolodist::data
