// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <opencv2/core.hpp>

#include "worker/data/shape.h"

namespace yolodist::data {

// What fills every pixel that no picture covers: grey 114.
inline cv::Scalar padding_colour() {
  return {114, 114, 114};
}

// Where a picture lies in a target shape.
struct LetterboxGeometry {
  double gain = 1;                  // of both sides
  int width_px = 0, height_px = 0;  // of the resized picture, rounded half to even
  double pad_w = 0, pad_h = 0;      // half the empty pixels; may end in .5
  int top_px = 0, bottom_px = 0, left_px = 0, right_px = 0;
};
// Source: ultralytics/yolov5 v7.0 utils/augmentations.py, letterbox with auto=False.
LetterboxGeometry letterbox_geometry(int height_px, int width_px, Shape target, bool scale_up);

// The picture with its longer side at `side_px`, small ones enlarged, padded to the next multiples of the
// stride. Its target is width_px + left_px + right_px wide, and high alike. Source: ultralytics/yolov5 v7.0
// utils/augmentations.py, letterbox with auto=True, as detect.py calls it.
LetterboxGeometry least_letterbox(int height_px, int width_px, int side_px, int stride_px);
Shape target_of(const LetterboxGeometry& geometry);

// The picture (8 bits, 3 channels) resized bilinearly if it must be, and padded to exactly `target`.
cv::Mat letterbox(const cv::Mat& picture, Shape target, const LetterboxGeometry& geometry);

}  // namespace yolodist::data
