// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace yolodist::model_spec {

// One entry of the state dict, in the order in which official weights hold it.
struct StateEntry {
  enum class Role {
    conv_weight,
    conv_bias,  // conv_bias: only Detect has it
    bn_weight,
    bn_bias,
    bn_mean,
    bn_var,
    bn_count,  // bn_count: int64 scalar, num_batches_tracked
    anchors,   // buffer [nl, na, 2] in grid units
  };
  std::string name;  // "model.2.m.0.cv1.conv.weight"
  Role role;
  std::vector<int64_t> shape;  // [] for a scalar
  bool is_parameter() const { return role <= Role::bn_bias; }
};

// A convolution with batch norm and activation (YOLOv5's Conv), the piece that all blocks are made of.
struct ConvSpec {
  std::string name;  // "model.0", "model.2.cv1"; a bare convolution's weight is name + ".weight"
  int c_in = 0, c_out = 0;
  int kernel = 1, stride = 1, padding = 0, groups = 1, dilation = 1;
  bool activated = true;  // false: the batch norm's output is the result (parts of the Ghost blocks)
  bool bare = false;      // no batch norm and no activation (cv2 and cv3 of BottleneckCSP)
};

// A row of the model yaml, resolved: absolute sources, channel counts after the width rule, repeats after the
// depth rule.
struct LayerSpec {
  int index = 0;
  std::vector<int> from;          // absolute indices of the source layers; -1 = the input picture
  std::vector<int> from_written;  // the same as the yaml has them; here -1 = the layer before
  std::string block;      // one of known_blocks(): "Conv", "C3", "SPPF", "Concat", "Upsample", "Detect", …
  int repeats = 1;        // C3: bottlenecks inside; others: the block this many times in a row
  std::vector<int> c_in;  // channels of each source
  int c_out = 0;          // 0 for Detect
  bool shortcut = true;   // C3, Bottleneck and their kin: whether the bottlenecks add their input
  int kernel = 1, stride = 1, padding = -1,
      groups = 1;            // Conv; kernel of SPPF's pool; scale of Upsample in stride
  std::vector<int> kernels;  // SPP's pools
  std::string from_text;     // "-1", "[-1, 6]" as printed in the summary
  std::string args_text;     // "[3, 16, 6, 2, 2]" as printed in the summary
  double stride_px = 1;      // input pixels a cell of the output
  std::vector<StateEntry> entries;
  // The convolutions in the order of the entries, by which a forward is built: C3 has "model.2.cv1", ".cv2",
  // ".cv3", ".m.0.cv1", … A block repeated in a row has "model.5.0…", "model.5.1…". Detect's are not here.
  std::vector<ConvSpec> convs;
  int64_t parameter_count() const;
};

// A whole model.
struct ModelSpec {
  std::string name;  // "yolov5n", or the yaml's stem
  int class_count = 80;
  double depth_multiple = 1, width_multiple = 1;
  std::string activation = "SiLU";  // "SiLU", "LeakyReLU(0.1)", "ReLU", "Hardswish", "Identity"
  std::vector<std::vector<std::array<double, 2>>> anchors_px;  // [nl][na]{w, h} pixels
  std::vector<int> strides_px;                                 // a level, ascending
  std::vector<LayerSpec> layers;                               // the last one is Detect
  std::string yaml_text;  // the resolved definition as yaml, stored in checkpoints

  int level_count() const { return static_cast<int>(strides_px.size()); }
  int anchors_per_level() const { return static_cast<int>(anchors_px.front().size()); }
  int outputs_per_anchor() const { return class_count + 5; }
  int max_stride_px() const { return strides_px.back(); }
  int64_t parameter_count() const;
  std::vector<StateEntry> entries() const;  // of all layers, in order
  std::vector<bool> saved() const;          // which layers' outputs a later layer needs again
};

// The blocks that a yaml may name, as LayerSpec::block calls them.
std::vector<std::string> known_blocks();

// Reads YOLOv5's model yaml (nc, depth_multiple, width_multiple, anchors, activation, backbone, head).
// `class_count` > 0 overrides nc. Throws DataError with file and line: does not parse, unknown block (with
// the list of known ones), a source index that does not exist, wrong arguments.
ModelSpec read_model_spec(const std::filesystem::path& file, int class_count = 0);
// The same from text; `where` names it in errors.
ModelSpec parse_model_spec(const std::string& text, const std::string& where, int class_count = 0);

}  // namespace yolodist::model_spec
