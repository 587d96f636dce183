// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/data/letterbox.h"

#include <algorithm>
#include <cmath>

#include <opencv2/imgproc.hpp>

#include "common/base/error.h"

namespace yolodist::data {
namespace {

int rounded(double value) {
  return static_cast<int>(std::nearbyint(value));
}

// Halves what is to be added on the two sides.
void pad(LetterboxGeometry& geometry, int height_px, int width_px) {
  geometry.pad_w = width_px / 2.0;
  geometry.pad_h = height_px / 2.0;
  // A tenth of a pixel off a half pushes the odd pixel to the bottom and the right.
  geometry.top_px = rounded(geometry.pad_h - 0.1);
  geometry.bottom_px = rounded(geometry.pad_h + 0.1);
  geometry.left_px = rounded(geometry.pad_w - 0.1);
  geometry.right_px = rounded(geometry.pad_w + 0.1);
}

}  // namespace

LetterboxGeometry letterbox_geometry(int height_px, int width_px, Shape target, bool scale_up) {
  LetterboxGeometry geometry;
  geometry.gain = std::min(static_cast<double>(target.height_px) / height_px,
                           static_cast<double>(target.width_px) / width_px);
  if (!scale_up) {
    geometry.gain = std::min(geometry.gain, 1.0);
  }
  geometry.width_px = rounded(width_px * geometry.gain);
  geometry.height_px = rounded(height_px * geometry.gain);
  pad(geometry, target.height_px - geometry.height_px, target.width_px - geometry.width_px);
  return geometry;
}

LetterboxGeometry least_letterbox(int height_px, int width_px, int side_px, int stride_px) {
  LetterboxGeometry geometry;
  geometry.gain = std::min(static_cast<double>(side_px) / height_px, static_cast<double>(side_px) / width_px);
  geometry.width_px = std::max(1, rounded(width_px * geometry.gain));
  geometry.height_px = std::max(1, rounded(height_px * geometry.gain));
  pad(geometry, (side_px - geometry.height_px) % stride_px, (side_px - geometry.width_px) % stride_px);
  return geometry;
}

Shape target_of(const LetterboxGeometry& geometry) {
  return {geometry.height_px + geometry.top_px + geometry.bottom_px,
          geometry.width_px + geometry.left_px + geometry.right_px};
}

cv::Mat letterbox(const cv::Mat& picture, Shape target, const LetterboxGeometry& geometry) {
  cv::Mat resized = picture;
  const cv::Size size(std::max(1, geometry.width_px), std::max(1, geometry.height_px));
  if (picture.size() != size) {
    cv::resize(picture, resized, size, 0, 0, cv::INTER_LINEAR);
  }
  cv::Mat padded;
  cv::copyMakeBorder(resized, padded, geometry.top_px, geometry.bottom_px, geometry.left_px,
                     geometry.right_px, cv::BORDER_CONSTANT, padding_colour());
  if (padded.rows != target.height_px || padded.cols != target.width_px) {
    // Only for a sliver so thin that its resized side rounded to nothing and was kept at one pixel.
    padded = padded(cv::Rect(0, 0, std::min(padded.cols, target.width_px),
                             std::min(padded.rows, target.height_px)))
                 .clone();
  }
  check(padded.rows == target.height_px && padded.cols == target.width_px,
        "letterbox: fills the target shape");
  return padded;
}

}  // namespace yolodist::data
