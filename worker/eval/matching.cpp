// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/eval/matching.h"

#include <algorithm>
#include <cstddef>

namespace yolodist::eval {
namespace {

// The label that a detection goes to.
struct Choice {
  std::ptrdiff_t label = -1;
  float iou = 0;
};

Choice choice_of(const Detection& detection, std::span<const LabelBox> labels) {
  Choice choice;
  for (size_t l = 0; l < labels.size(); ++l) {
    if (labels[l].class_index != detection.class_index) {
      continue;
    }
    const float overlap = iou(labels[l].box, detection.box);
    if (overlap >= choice.iou) {
      choice = {static_cast<std::ptrdiff_t>(l), overlap};
    }
  }
  return choice;
}

}  // namespace

float iou(const Box& a, const Box& b) {
  const float width = std::max(0.0f, std::min(a.x2, b.x2) - std::max(a.x1, b.x1));
  const float height = std::max(0.0f, std::min(a.y2, b.y2) - std::max(a.y1, b.y1));
  const float intersection = width * height;
  const float area_a = (a.x2 - a.x1) * (a.y2 - a.y1);
  const float area_b = (b.x2 - b.x1) * (b.y2 - b.y1);
  return intersection / (area_a + area_b - intersection + 1e-7f);
}

const std::array<float, kIouThresholdCount>& iou_thresholds() {
  static const std::array<float, kIouThresholdCount> thresholds = [] {
    std::array<float, kIouThresholdCount> values{};
    const float step = (0.95f - 0.5f) / (kIouThresholdCount - 1);
    for (int i = 0; i < kIouThresholdCount; ++i) {
      // From the nearer end, as torch.linspace does.
      values[static_cast<size_t>(i)] = i < kIouThresholdCount / 2
                                           ? 0.5f + step * static_cast<float>(i)
                                           : 0.95f - step * static_cast<float>(kIouThresholdCount - 1 - i);
    }
    return values;
  }();
  return thresholds;
}

Box to_native(const Box& box, const data::Fitting& fitting) {
  const auto pad_w = static_cast<float>(fitting.pad_w);
  const auto pad_h = static_cast<float>(fitting.pad_h);
  // YOLOv5 divides both axes by the gain in height.
  const auto gain = static_cast<float>(fitting.gain_h);
  const auto width = static_cast<float>(fitting.native_width_px);
  const auto height = static_cast<float>(fitting.native_height_px);
  return {std::clamp((box.x1 - pad_w) / gain, 0.0f, width), std::clamp((box.y1 - pad_h) / gain, 0.0f, height),
          std::clamp((box.x2 - pad_w) / gain, 0.0f, width),
          std::clamp((box.y2 - pad_h) / gain, 0.0f, height)};
}

std::vector<LabelBox> native_labels(std::span<const data::Target> targets, int height_px, int width_px,
                                    const data::Fitting& fitting) {
  const auto width = static_cast<float>(width_px);
  const auto height = static_cast<float>(height_px);
  std::vector<LabelBox> labels;
  labels.reserve(targets.size());
  for (const data::Target& target : targets) {
    const float x = target.x * width, y = target.y * height;
    const float half_w = target.w * width / 2, half_h = target.h * height / 2;
    labels.push_back(
        {to_native({x - half_w, y - half_h, x + half_w, y + half_h}, fitting), target.class_index});
  }
  return labels;
}

std::vector<Detection> native_detections(std::span<const Detection> detections,
                                         const data::Fitting& fitting) {
  std::vector<Detection> native(detections.begin(), detections.end());
  for (Detection& detection : native) {
    detection.box = to_native(detection.box, fitting);
  }
  return native;
}

std::vector<uint16_t> match(std::span<const Detection> detections, std::span<const LabelBox> labels) {
  std::vector<uint16_t> correct(detections.size(), 0);
  std::vector<uint16_t> taken(labels.size(), 0);  // a bit a threshold: the label has its detection
  for (size_t d = 0; d < detections.size(); ++d) {
    const Choice choice = choice_of(detections[d], labels);
    if (choice.label < 0) {
      continue;
    }
    uint16_t& label_taken = taken[static_cast<size_t>(choice.label)];
    for (size_t t = 0; t < iou_thresholds().size(); ++t) {
      const auto bit = static_cast<uint16_t>(1u << t);
      if (choice.iou >= iou_thresholds()[t] && !(label_taken & bit)) {
        label_taken = static_cast<uint16_t>(label_taken | bit);
        correct[d] = static_cast<uint16_t>(correct[d] | bit);
      }
    }
  }
  return correct;
}

}  // namespace yolodist::eval
