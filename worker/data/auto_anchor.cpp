// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/data/auto_anchor.h"

#include <algorithm>

#include "common/base/error.h"
#include "common/base/philox.h"
#include "common/base/text.h"

namespace yolodist::data {
namespace {

// Source: ultralytics/yolov5 v7.0 utils/autoanchor.py.
constexpr double good_recall = 0.98;
constexpr float small_side_px = 3;

std::string fit_text(const AnchorFit& fit) {
  return printf_string("%.2f anchors/target, %.3f Best Possible Recall (BPR)", fit.anchors_per_target,
                       fit.best_possible_recall);
}

std::string anchors_text(std::span<const Anchor> anchors) {
  std::vector<std::string> parts;
  for (const Anchor& anchor : anchors) {
    parts.push_back(printf_string("%.0f,%.0f", anchor[0], anchor[1]));
  }
  return join(parts, "  ");
}

std::vector<Anchor> flat(const Anchors& levels) {
  std::vector<Anchor> anchors;
  for (const std::vector<Anchor>& level : levels) {
    anchors.insert(anchors.end(), level.begin(), level.end());
  }
  return anchors;
}

// The anchors dealt out to levels of the sizes that `like` has.
Anchors shaped(std::span<const Anchor> anchors, const Anchors& like) {
  Anchors levels;
  size_t first = 0;
  for (const std::vector<Anchor>& level : like) {
    levels.emplace_back(anchors.begin() + static_cast<std::ptrdiff_t>(first),
                        anchors.begin() + static_cast<std::ptrdiff_t>(first + level.size()));
    first += level.size();
  }
  return levels;
}

}  // namespace

std::vector<double> anchor_jitter(size_t picture_count, int64_t seed) {
  Draws64 draws(static_cast<uint64_t>(seed), RandomStream::anchors, 0);
  std::vector<double> factors(picture_count);
  for (double& factor : factors) {
    factor = draws.uniform(0.9, 1.1);
  }
  return factors;
}

std::vector<LabelSides> label_sides(const Index& index, int imgsz_px, std::span<const double> factors) {
  check(factors.size() == index.pictures.size(), "label_sides: one factor a picture");
  std::vector<LabelSides> sides;
  sides.reserve(static_cast<size_t>(index.box_count()));
  for (size_t i = 0; i < index.pictures.size(); ++i) {
    const Picture& picture = index.pictures[i];
    const double longer = std::max(picture.width_px, picture.height_px);
    const double width = static_cast<double>(imgsz_px) * picture.width_px / longer * factors[i];
    const double height = static_cast<double>(imgsz_px) * picture.height_px / longer * factors[i];
    for (const Target& target : picture.targets) {
      sides.push_back({static_cast<float>(target.w * width), static_cast<float>(target.h * height)});
    }
  }
  return sides;
}

std::vector<LabelSides> label_sides(const Index& index, int imgsz_px) {
  return label_sides(index, imgsz_px, std::vector<double>(index.pictures.size(), 1.0));
}

AnchorFit anchor_fit(std::span<const LabelSides> sides, std::span<const Anchor> anchors, double anchor_t) {
  AnchorFit fit;
  if (sides.empty()) {
    return fit;
  }
  const auto threshold = static_cast<float>(1 / anchor_t);
  int64_t matches = 0, recalled = 0;
  for (const LabelSides& label : sides) {
    const int64_t before = matches;
    for (const Anchor& anchor : anchors) {
      const float rw = label.w / static_cast<float>(anchor[0]), rh = label.h / static_cast<float>(anchor[1]);
      const float ratio = std::min(std::min(rw, 1 / rw), std::min(rh, 1 / rh));
      matches += ratio > threshold ? 1 : 0;
    }
    recalled += matches > before ? 1 : 0;
  }
  const auto count = static_cast<double>(sides.size());
  fit.best_possible_recall = static_cast<double>(recalled) / count;
  fit.anchors_per_target = static_cast<double>(matches) / count;
  return fit;
}

AnchorReport check_anchors(const Index& index, const Anchors& anchors, double anchor_t, int imgsz_px,
                           int64_t seed) {
  const std::vector<Anchor> current = flat(anchors);
  check(!current.empty() && anchor_t > 0, "check_anchors: there are anchors and a ratio");
  const std::vector<LabelSides> jittered =
      label_sides(index, imgsz_px, anchor_jitter(index.pictures.size(), seed));
  AnchorReport report;
  report.fit = anchor_fit(jittered, current, anchor_t);
  std::string line = cat("AutoAnchor: ", fit_text(report.fit), ". ");
  if (report.fit.best_possible_recall > good_recall || jittered.empty()) {
    report.lines.push_back(line + (jittered.empty() ? "No labels to fit." : "The anchors fit the labels."));
    return report;
  }
  report.lines.push_back(
      cat(line, "The anchors fit the labels badly, looking for ", current.size(), " better ones."));

  const std::vector<LabelSides> sides = label_sides(index, imgsz_px);
  const auto small = std::count_if(sides.begin(), sides.end(), [](const LabelSides& label) {
    return label.w < small_side_px || label.h < small_side_px;
  });
  if (small > 0) {
    report.lines.push_back(cat("AutoAnchor: ", small, " of ", sides.size(), " labels are under ",
                               small_side_px, " px in width or height at ", imgsz_px,
                               " px. A larger --img keeps more of them."));
  }
  const std::vector<Anchor> found =
      kmean_anchors(sides, static_cast<int>(current.size()), imgsz_px, anchor_t, seed);
  report.new_fit = anchor_fit(jittered, found, anchor_t);
  line = cat("AutoAnchor: ", anchors_text(found), ": ", fit_text(*report.new_fit), ". ");
  if (report.new_fit->best_possible_recall > report.fit.best_possible_recall) {
    report.better = shaped(found, anchors);
    report.lines.push_back(line + "The model takes these.");
  } else {
    report.lines.push_back(line + "Not better, the model keeps its own.");
  }
  return report;
}

}  // namespace yolodist::data
