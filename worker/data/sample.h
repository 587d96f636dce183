// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace yolodist::data {

// A labelled box, centre and size as fractions of the network's input.
struct Target {
  int class_index = 0;
  float x = 0, y = 0, w = 0, h = 0;
};

// How a validation picture was fitted: native point = (input point - pad) / gain.
struct Fitting {
  int native_height_px = 0, native_width_px = 0;
  double gain_h = 1, gain_w = 1;  // resized size / native size (YOLOv5's "ratio" of load_image)
  double pad_w = 0, pad_h = 0;    // pixels left of and above the picture
};

// One picture, ready for the network: uint8, planar RGB, [3, height, width].
struct Sample {
  int picture_index = 0;  // into the index
  int height_px = 0, width_px = 0;
  std::vector<uint8_t> pixels;
  std::vector<Target> targets;
  Fitting fitting;  // validation only
};

}  // namespace yolodist::data
