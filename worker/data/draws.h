// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>

#include "common/config/hyperparameters.h"

namespace yolodist::data {

// The random numbers of one warp, as the values that are used, not as fractions of their range.
struct PerspectiveDraws {
  double perspective_x = 0, perspective_y = 0;  // entries [2][0] and [2][1] of the matrix
  double angle_degrees = 0;                     // positive = counter-clockwise
  double scale = 1;
  double shear_x_degrees = 0, shear_y_degrees = 0;
  double translate_x = 0.5, translate_y = 0.5;  // where the middle goes, as fractions of the output's sides
};

// The random numbers of one mosaic.
struct MosaicDraws {
  int centre_y_px = 0, centre_x_px = 0;  // on the canvas of twice the side
  std::array<int, 3> partners{};         // indices of the other three pictures
  std::array<int, 4> order = {0, 1, 2,
                              3};  // tile k shows number order[k] of {the picture itself, partners...}
  PerspectiveDraws warp;
  // What the objects that copy-paste takes are drawn from (copy_paste.h): how many there are is known only
  // once the canvas is filled.
  uint64_t copy_paste_key = 0;
};

// Every random number of one training sample. Values that a sample does not use are drawn all the same, so
// that turning one augmentation on changes no other.
struct Draws {
  bool mosaic = false;
  MosaicDraws first;  // without a mosaic only its warp is used
  bool flip_up_down = false;
  bool flip_left_right = false;
  double hue_gain = 1, saturation_gain = 1, value_gain = 1;
  bool mixup = false;  // only with a mosaic
  int mixup_picture = 0;
  MosaicDraws second;        // of the picture that is mixed in
  double mixup_ratio = 0.5;  // weight of the first mosaic
};

// A pure function of its arguments. `position` is the sample's place in the epoch's order, which does not
// depend on ranks or threads. image_count > 0. Source of the distributions: ultralytics/yolov5 v7.0
// utils/dataloaders.py and utils/augmentations.py.
Draws draw_sample(const config::Hyperparameters& hyp, int image_count, int imgsz_px, int64_t seed, int epoch,
                  int64_t position);

// Sides of the mosaic canvas that the warp cuts off at each edge: half the side, an odd one rounded up.
constexpr int mosaic_border_px(int imgsz_px) {
  return (imgsz_px + 1) / 2;
}

}  // namespace yolodist::data
