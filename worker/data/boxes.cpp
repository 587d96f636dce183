// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/data/boxes.h"

#include <algorithm>

namespace yolodist::data {

std::vector<PixelBox> to_pixels(const std::vector<Target>& targets, double width_px, double height_px,
                                double offset_x_px, double offset_y_px) {
  const auto width = static_cast<float>(width_px), height = static_cast<float>(height_px);
  const auto offset_x = static_cast<float>(offset_x_px), offset_y = static_cast<float>(offset_y_px);
  std::vector<PixelBox> boxes;
  boxes.reserve(targets.size());
  for (const Target& target : targets) {
    boxes.push_back({target.class_index, width * (target.x - target.w / 2) + offset_x,
                     height * (target.y - target.h / 2) + offset_y,
                     width * (target.x + target.w / 2) + offset_x,
                     height * (target.y + target.h / 2) + offset_y});
  }
  return boxes;
}

std::vector<Target> to_fractions(const std::vector<PixelBox>& boxes, int width_px, int height_px) {
  constexpr double margin_px = 1e-3;
  const auto right = static_cast<float>(width_px - margin_px),
             bottom = static_cast<float>(height_px - margin_px);
  const auto width = static_cast<float>(width_px), height = static_cast<float>(height_px);
  std::vector<Target> targets;
  targets.reserve(boxes.size());
  for (const PixelBox& box : boxes) {
    const float x1 = std::clamp(box.x1, 0.0f, right), x2 = std::clamp(box.x2, 0.0f, right);
    const float y1 = std::clamp(box.y1, 0.0f, bottom), y2 = std::clamp(box.y2, 0.0f, bottom);
    targets.push_back({box.class_index, (x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width,
                       (y2 - y1) / height});
  }
  return targets;
}

}  // namespace yolodist::data
