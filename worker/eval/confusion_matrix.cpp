// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/eval/confusion_matrix.h"

#include <algorithm>

#include "common/base/error.h"
#include "common/base/text.h"

namespace yolodist::eval {
namespace {

constexpr int kNone = -1;

// The detection that a label took.
struct Meeting {
  int detection = kNone;
  float iou = 0;
};

std::vector<Meeting> meetings(std::span<const Detection> detections, std::span<const LabelBox> labels) {
  std::vector<Meeting> of_label(labels.size());
  for (size_t d = 0; d < detections.size(); ++d) {
    if (!(detections[d].score > kConfusionConfidence)) {
      continue;
    }
    int best_label = kNone;
    float best = 0;
    for (size_t l = 0; l < labels.size(); ++l) {
      const float overlap = iou(labels[l].box, detections[d].box);
      if (overlap > kConfusionIou && overlap >= best) {
        best_label = static_cast<int>(l);
        best = overlap;
      }
    }
    if (best_label != kNone && best >= of_label[static_cast<size_t>(best_label)].iou) {
      of_label[static_cast<size_t>(best_label)] = {static_cast<int>(d), best};
    }
  }
  return of_label;
}

}  // namespace

ConfusionMatrix::ConfusionMatrix(int class_count_of_data)
    : class_count(class_count_of_data),
      counts(static_cast<size_t>(class_count_of_data + 1) * static_cast<size_t>(class_count_of_data + 1), 0) {
}

void add(ConfusionMatrix& matrix, std::span<const Detection> detections, std::span<const LabelBox> labels) {
  const auto checked = [&](int class_index) {
    check(class_index >= 0 && class_index < matrix.class_count,
          cat("class ", class_index, " in a confusion matrix of ", matrix.class_count));
    return class_index;
  };
  std::vector<bool> has_met(detections.size(), false);
  const std::vector<Meeting> of_label = meetings(detections, labels);
  for (size_t l = 0; l < labels.size(); ++l) {
    int predicted = matrix.background();
    if (of_label[l].detection != kNone) {
      const auto d = static_cast<size_t>(of_label[l].detection);
      predicted = checked(detections[d].class_index);
      has_met[d] = true;
    }
    ++matrix.counts[matrix.index(predicted, checked(labels[l].class_index))];
  }
  if (std::find(has_met.begin(), has_met.end(), true) == has_met.end()) {
    return;
  }
  for (size_t d = 0; d < detections.size(); ++d) {
    if (detections[d].score > kConfusionConfidence && !has_met[d]) {
      ++matrix.counts[matrix.index(checked(detections[d].class_index), matrix.background())];
    }
  }
}

}  // namespace yolodist::eval
