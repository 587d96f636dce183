// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/model_spec/arguments.h"
#include "common/model_spec/model_spec.h"

namespace yolodist::model_spec {

// What a block needs to know to fill in its row of the layer table.
struct BlockCall {
  const ModelSpec& model;      // class_count, width_multiple and anchors_px are set
  const Arguments& arguments;  // with `nc` replaced by its value
  std::string prefix;          // the layer's name, "model.3", or that of one repetition, "model.3.0"
  std::vector<int> heights;    // of each source, for a picture of probe_side_px
  int c1 = 0;                  // channels of the (first) source
};

// Output sizes are followed for a square picture of this side, as YOLOv5 does to find its strides.
inline constexpr int probe_side_px = 256;

// One kind of block. `build` appends entries and convolutions to the layer, sets c_out and what else
// LayerSpec has of it, and returns the output's height for the probe picture. Throws DataError for wrong
// arguments.
struct Block {
  std::string_view name;
  bool repeats_inside = false;  // the repeat count is an argument of the block, after the channels
  bool takes_many_sources = false;
  bool has_width = true;  // the first argument is c_out, under the width rule
  int (*build)(const BlockCall& call, LayerSpec& layer) = nullptr;
};

// nullptr if there is none. Takes the yaml's names: "C3", "nn.Upsample".
const Block* find_block(std::string_view module);
std::vector<std::string> block_names();

}  // namespace yolodist::model_spec
