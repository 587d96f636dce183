// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace yolodist::data {

// Sides of a network input.
struct Shape {
  int height_px = 0, width_px = 0;
  bool operator==(const Shape&) const = default;
};

}  // namespace yolodist::data
