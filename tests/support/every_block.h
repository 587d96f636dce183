// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "common/model_spec/model_spec.h"

namespace yolodist::test {

// Every block, some twice in a row, with inputs that several layers take.
inline model_spec::ModelSpec every_block(const std::string& activation) {
  const std::string text = "nc: 2\ndepth_multiple: 1.0\nwidth_multiple: 1.0\nactivation: " + activation + R"(
anchors:
  - [10,13, 16,30]
  - [30,61, 62,45]
backbone:
  - [-1, 1, Focus, [16, 3]]                    # 0
  - [-1, 1, Conv, [16, 3, 2]]                  # 1
  - [-1, 2, C3, [16]]                          # 2
  - [-1, 1, DWConv, [32, 3, 1]]                # 3
  - [-1, 2, Bottleneck, [32]]                  # 4
  - [-1, 1, Bottleneck, [32, False]]           # 5
  - [-1, 1, GhostConv, [32, 3, 2]]             # 6
  - [-1, 1, GhostBottleneck, [32, 3, 1]]       # 7
  - [-1, 2, BottleneckCSP, [32]]               # 8
  - [-1, 1, SPP, [32, [3, 5]]]                 # 9
  - [-1, 1, Conv, [32, 3, 1, None, 1, 1, False]] # 10
  - [-1, 1, GhostBottleneck, [48, 3, 2]]       # 11
  - [-1, 2, C3Ghost, [48]]                     # 12
  - [-1, 1, SPPF, [48, 3]]                     # 13
head:
  - [-1, 1, nn.Upsample, [None, 2, 'nearest']] # 14
  - [[-1, 10, 9, 8], 1, Concat, [1]]           # 15
  - [-1, 2, C3, [32, False]]                   # 16
  - [-1, 2, Conv, [32, 1, 1]]                  # 17
  - [[-1, 13], 1, Detect, [nc, anchors]]       # 18
)";
  return model_spec::parse_model_spec(text, "test.yaml");
}

}  // namespace yolodist::test
