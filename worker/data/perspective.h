// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <vector>

#include <opencv2/core.hpp>

#include "worker/data/boxes.h"
#include "worker/data/draws.h"
#include "worker/data/labels.h"
#include "worker/data/shape.h"

namespace yolodist::data {

// A picture under construction: BGR with labels in its pixels. Polygon points are pixels here too.
struct Canvas {
  cv::Mat image;
  std::vector<PixelBox> boxes;
  std::vector<Polygon> segments;  // used when there is one a box
};

using Matrix3 = std::array<double, 9>;  // row by row

// Translation * shear * rotation and scale * perspective * centring: from input to output pixels.
Matrix3 perspective_matrix(Shape input, Shape output, const PerspectiveDraws& draws);

// Cuts `border_px` off each edge of the output, warps (grey 114 outside), moves the boxes and drops those
// that become too small, too thin or mostly hidden. With one segment a box the boxes are hulls of the moved
// segments. `is_perspective`: the hyperparameter is not 0; else the warp is affine. Source:
// ultralytics/yolov5 v7.0 utils/augmentations.py, random_perspective and box_candidates. Differs: with v7.0
// segments are used if there are any; here, as in 7.0.14 and master, if there is one a box.
Canvas random_perspective(const Canvas& canvas, const PerspectiveDraws& draws, bool is_perspective,
                          int border_px);

}  // namespace yolodist::data
