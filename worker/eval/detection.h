// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace yolodist::eval {

// Corners in pixels: x1 <= x2, y1 <= y2 for a box with an area.
struct Box {
  float x1 = 0, y1 = 0, x2 = 0, y2 = 0;
};

// What the network says is in a picture.
struct Detection {
  Box box;
  float score = 0;  // objectness times class probability
  int class_index = 0;
};

}  // namespace yolodist::eval
