// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/data/mixup.h"

#include "common/base/error.h"

namespace yolodist::data {

void mix_in(Canvas& canvas, const Canvas& other, double ratio) {
  check(canvas.image.size() == other.image.size(), "mix_in: pictures of one size");
  const double rest = 1 - ratio;
  const int row_values = canvas.image.cols * canvas.image.channels();
  for (int y = 0; y < canvas.image.rows; ++y) {
    auto* mine = canvas.image.ptr<uint8_t>(y);
    const auto* its = other.image.ptr<uint8_t>(y);
    for (int i = 0; i < row_values; ++i) {
      mine[i] = static_cast<uint8_t>(mine[i] * ratio + its[i] * rest);
    }
  }
  canvas.boxes.insert(canvas.boxes.end(), other.boxes.begin(), other.boxes.end());
}

}  // namespace yolodist::data
