// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "common/plan/memory_model.h"

namespace yolodist::plan {

// What a layer hands on, of one picture: [C, H, W]; for Detect [predictions, values a prediction].
inline std::vector<int64_t> output_shape(const model_spec::ModelSpec& spec, int layer,
                                         const Workload& workload) {
  const auto side = [](int px, double stride) { return static_cast<int64_t>(std::llround(px / stride)); };
  const model_spec::LayerSpec& of = spec.layers[static_cast<size_t>(layer)];
  if (of.c_out > 0) {
    return {of.c_out, side(workload.height_px, of.stride_px), side(workload.width_px, of.stride_px)};
  }
  int64_t predictions = 0;
  for (const int stride : spec.strides_px) {
    predictions +=
        spec.anchors_per_level() * side(workload.height_px, stride) * side(workload.width_px, stride);
  }
  return {predictions, spec.outputs_per_anchor()};
}

}  // namespace yolodist::plan
