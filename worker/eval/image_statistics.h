// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "worker/eval/detection.h"
#include "worker/eval/matching.h"

namespace yolodist::eval {

// What average precision needs to know of one validated picture.
struct ImageStatistics {
  int64_t position = 0;                 // in the validation order; merged lists are sorted by it
  std::vector<float> scores;            // a detection
  std::vector<int32_t> classes;         // a detection
  std::vector<uint16_t> correct;        // a detection: bit t = true positive at iou_thresholds()[t]
  std::vector<int32_t> target_classes;  // a label

  bool operator==(const ImageStatistics&) const = default;
};

// Matches one picture. `detections` best score first; both in native pixels.
ImageStatistics statistics_of(int64_t position, std::span<const Detection> detections,
                              std::span<const LabelBox> labels);

// A list as one byte string, for an all-gather, and back. from_bytes throws InternalError when the bytes were
// not written by to_bytes. The layout follows the machine's byte order: the ranks of one run are alike.
std::string to_bytes(std::span<const ImageStatistics> images);
std::vector<ImageStatistics> from_bytes(std::string_view bytes);

// The strings of all ranks as one list in validation order, which does not depend on who validated what. A
// position that came twice (a rank filled up its share) counts once.
std::vector<ImageStatistics> merged(std::span<const std::string> ranks);

}  // namespace yolodist::eval
