// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/eval/nms.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "common/base/error.h"
#include "common/base/text.h"

namespace yolodist::eval {
namespace {

// Classes are kept apart by moving each to its own place; larger than any coordinate of a usual picture.
constexpr float kClassOffset_px = 7680;

struct Candidate {
  float score;
  int32_t class_index;
  int64_t row;
};

Box corners_of(const float* row) {
  return {row[0] - row[2] / 2, row[1] - row[3] / 2, row[0] + row[2] / 2, row[1] + row[3] / 2};
}

std::vector<Candidate> candidates_of(std::span<const float> predictions, int class_count,
                                     const NmsOptions& options) {
  const size_t width = static_cast<size_t>(class_count) + 5;
  const int64_t rows = static_cast<int64_t>(predictions.size() / width);
  const bool multi_label = options.multi_label && class_count > 1;
  std::vector<Candidate> candidates;
  for (int64_t row = 0; row < rows; ++row) {
    const float* values = predictions.data() + static_cast<size_t>(row) * width;
    const float objectness = values[4];
    if (!(objectness > options.confidence)) {  // also drops NaN
      continue;
    }
    const float* probabilities = values + 5;
    if (multi_label) {
      for (int c = 0; c < class_count; ++c) {
        const float score = probabilities[c] * objectness;
        if (score > options.confidence) {
          candidates.push_back({score, c, row});
        }
      }
    } else {
      int best = 0;
      float best_score = probabilities[0] * objectness;
      for (int c = 1; c < class_count; ++c) {
        const float score = probabilities[c] * objectness;
        if (score > best_score) {
          best = c;
          best_score = score;
        }
      }
      if (best_score > options.confidence) {
        candidates.push_back({best_score, best, row});
      }
    }
  }
  if (!options.classes.empty()) {
    std::erase_if(candidates, [&](const Candidate& candidate) {
      return std::find(options.classes.begin(), options.classes.end(), candidate.class_index) ==
             options.classes.end();
    });
  }
  return candidates;
}

// Best first; (row, class) breaks ties, so that cutting and sorting have one answer.
bool is_better(const Candidate& a, const Candidate& b) {
  if (a.score != b.score) {
    return a.score > b.score;
  }
  return a.row != b.row ? a.row < b.row : a.class_index < b.class_index;
}

void keep_best(std::vector<Candidate>& candidates, size_t count) {
  if (candidates.size() > count) {
    std::nth_element(candidates.begin(), candidates.begin() + static_cast<std::ptrdiff_t>(count),
                     candidates.end(), is_better);
    candidates.resize(count);
  }
  std::sort(candidates.begin(), candidates.end(), is_better);
}

float area(const Box& box) {
  return (box.x2 - box.x1) * (box.y2 - box.y1);
}

// Computed in float from the moved corners and compared in double, as torchvision does: decides near-ties
// alike.
bool overlaps(const Box& a, float area_a, const Box& b, float area_b, double threshold) {
  const float width = std::min(a.x2, b.x2) - std::max(a.x1, b.x1);
  const float height = std::min(a.y2, b.y2) - std::max(a.y1, b.y1);
  const float intersection = std::max(0.0f, width) * std::max(0.0f, height);
  return static_cast<double>(intersection / (area_a + area_b - intersection)) > threshold;
}

struct Kept {
  Box moved;
  float area;
};

// Boxes of two classes can only meet when coordinates spread further than the offset between classes.
bool classes_are_apart(const std::vector<Box>& boxes) {
  float low = 0, high = 0;
  for (const Box& box : boxes) {
    low = std::min({low, box.x1, box.x2});
    high = std::max({high, box.x1, box.x2});
  }
  return high - low < kClassOffset_px;
}

}  // namespace

std::vector<Detection> suppress(std::span<const float> predictions, int class_count,
                                const NmsOptions& options) {
  check(class_count >= 1, "NMS needs at least one class");
  const size_t width = static_cast<size_t>(class_count) + 5;
  check(predictions.size() % width == 0, cat("NMS: ", predictions.size(), " values are not whole rows of ",
                                             width, " (", class_count, " classes)"));
  std::vector<Candidate> candidates = candidates_of(predictions, class_count, options);
  keep_best(candidates, static_cast<size_t>(std::max(0, options.max_candidates)));

  std::vector<Box> boxes;
  boxes.reserve(candidates.size());
  for (const Candidate& candidate : candidates) {
    boxes.push_back(corners_of(predictions.data() + static_cast<size_t>(candidate.row) * width));
  }
  // One list of kept boxes a class, or one for all where boxes of different classes may meet.
  const bool one_list = options.agnostic || !classes_are_apart(boxes);
  std::vector<std::vector<Kept>> kept(one_list ? 1 : static_cast<size_t>(class_count));
  std::vector<Detection> detections;
  for (size_t i = 0; i < candidates.size(); ++i) {
    if (detections.size() >= static_cast<size_t>(std::max(0, options.max_detections))) {
      break;
    }
    const Candidate& candidate = candidates[i];
    const float offset =
        options.agnostic ? 0.0f : static_cast<float>(candidate.class_index) * kClassOffset_px;
    const Box moved{boxes[i].x1 + offset, boxes[i].y1 + offset, boxes[i].x2 + offset, boxes[i].y2 + offset};
    const float moved_area = area(moved);
    std::vector<Kept>& rivals = kept[one_list ? 0 : static_cast<size_t>(candidate.class_index)];
    const bool suppressed = std::any_of(rivals.begin(), rivals.end(), [&](const Kept& rival) {
      return overlaps(rival.moved, rival.area, moved, moved_area, options.iou);
    });
    if (!suppressed) {
      rivals.push_back({moved, moved_area});
      detections.push_back({boxes[i], candidate.score, candidate.class_index});
    }
  }
  return detections;
}

}  // namespace yolodist::eval
