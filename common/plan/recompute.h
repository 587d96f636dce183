// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

namespace yolodist::plan {

// What a layer gives up of what backward needs, and computes again there. The results are the same to the
// bit.
enum class Recompute {
  none,         // keeps each convolution's input, output and batch norm's output
  activations,  // keeps convolutions' outputs; batch norm, activation and concatenation are computed again
  block,        // keeps the layer's input; its whole forward runs again. Layers that are one convolution
                // or none treat it as `activations`
};

// By layer index; empty = none everywhere.
using RecomputePlan = std::vector<Recompute>;

}  // namespace yolodist::plan
