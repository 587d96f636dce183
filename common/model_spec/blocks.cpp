// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
//
// Source of every block's shape, argument order and names: ultralytics/yolov5 v7.0 models/common.py and
// models/yolo.py (parse_model).
#include "common/model_spec/blocks.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "common/base/error.h"
#include "common/base/text.h"

namespace yolodist::model_spec {
namespace {

constexpr int highest_channels = 65536;
constexpr int highest_kernel = 255;
constexpr int highest_stride = 64;
constexpr int highest_side_px = 65536;

// The width rule: a multiple of 8, unless it is the number of outputs of a detection level.
int width_of(const BlockCall& call) {
  const int written = call.arguments.integer(0, "channels", std::nullopt, 1, highest_channels);
  const int detect_outputs = call.model.anchors_per_level() * call.model.outputs_per_anchor();
  if (written == detect_outputs) {
    return written;
  }
  const double width = std::ceil(written * call.model.width_multiple / 8) * 8;
  if (width > highest_channels) {
    call.arguments.refuse(
        cat("has ", width, " channels after width_multiple; the most is ", highest_channels));
  }
  return static_cast<int>(width);
}

int same_padding(int kernel, int dilation = 1) {
  return (dilation * (kernel - 1) + 1) / 2;
}

ConvSpec conv(std::string name, int c_in, int c_out, int kernel = 1, int stride = 1, int groups = 1) {
  return {std::move(name), c_in, c_out, kernel, stride, same_padding(kernel), groups};
}

ConvSpec not_activated(ConvSpec spec) {
  spec.activated = false;
  return spec;
}

int height_after(const BlockCall& call, int height, int kernel, int stride, int padding, int dilation = 1) {
  const int span = height + 2 * padding - dilation * (kernel - 1) - 1;
  if (span < 0) {
    call.arguments.refuse(
        cat("kernel ", kernel, " is larger than what is left of a picture of ", probe_side_px, " px"));
  }
  return span / stride + 1;
}

void add_batch_norm(LayerSpec& layer, const std::string& name, int channels) {
  using Role = StateEntry::Role;
  layer.entries.push_back({name + ".weight", Role::bn_weight, {channels}});
  layer.entries.push_back({name + ".bias", Role::bn_bias, {channels}});
  layer.entries.push_back({name + ".running_mean", Role::bn_mean, {channels}});
  layer.entries.push_back({name + ".running_var", Role::bn_var, {channels}});
  layer.entries.push_back({name + ".num_batches_tracked", Role::bn_count, {}});
}

// Returns the output's height.
int add_conv(const BlockCall& call, LayerSpec& layer, const ConvSpec& spec, int height) {
  if (spec.c_in < 1 || spec.c_out < 1 || spec.c_in % spec.groups != 0 || spec.c_out % spec.groups != 0) {
    call.arguments.refuse(cat("a convolution ", spec.name, " of ", spec.c_in, " to ", spec.c_out,
                              " channels in ", spec.groups, " groups is not possible"));
  }
  const std::string weight = spec.bare ? ".weight" : ".conv.weight";
  layer.entries.push_back({spec.name + weight,
                           StateEntry::Role::conv_weight,
                           {spec.c_out, spec.c_in / spec.groups, spec.kernel, spec.kernel}});
  if (!spec.bare) {
    add_batch_norm(layer, spec.name + ".bn", spec.c_out);
  }
  layer.convs.push_back(spec);
  return height_after(call, height, spec.kernel, spec.stride, spec.padding, spec.dilation);
}

// The convolution that gives the layer its name; notes it in the layer. Returns the output's height.
int add_main_conv(const BlockCall& call, LayerSpec& layer, const ConvSpec& spec, int height) {
  layer.c_out = spec.c_out;
  layer.kernel = spec.kernel;
  layer.stride = spec.stride;
  layer.padding = spec.padding;
  layer.groups = spec.groups;
  return add_conv(call, layer, spec, height);
}

int kernel_argument(const BlockCall& call, size_t position, int missing = 1) {
  return call.arguments.integer(position, "kernel", missing, 1, highest_kernel);
}

int stride_argument(const BlockCall& call, size_t position) {
  return call.arguments.integer(position, "stride", 1, 1, highest_stride);
}

// Conv(c2, k, s, p, g, d, act)
int build_conv(const BlockCall& call, LayerSpec& layer) {
  const Arguments& a = call.arguments;
  a.require_at_most(7);
  ConvSpec spec =
      conv(call.prefix, call.c1, width_of(call), kernel_argument(call, 1), stride_argument(call, 2));
  spec.groups = a.integer(4, "groups", 1, 1, highest_channels);
  spec.dilation = a.integer(5, "dilation", 1, 1, highest_kernel);
  spec.padding = a.integer(3, "padding", same_padding(spec.kernel, spec.dilation), 0, highest_kernel);
  spec.activated = a.boolean(6, "activation", true);
  return add_main_conv(call, layer, spec, call.heights.front());
}

// DWConv(c2, k, s, d, act)
int build_dwconv(const BlockCall& call, LayerSpec& layer) {
  const Arguments& a = call.arguments;
  a.require_at_most(5);
  ConvSpec spec =
      conv(call.prefix, call.c1, width_of(call), kernel_argument(call, 1), stride_argument(call, 2));
  spec.groups = std::gcd(spec.c_in, spec.c_out);
  spec.dilation = a.integer(3, "dilation", 1, 1, highest_kernel);
  spec.padding = same_padding(spec.kernel, spec.dilation);
  spec.activated = a.boolean(4, "activation", true);
  return add_main_conv(call, layer, spec, call.heights.front());
}

// Focus(c2, k, s, p, g, act): four pictures of half the side, one under the other in the channels, then a
// Conv.
int build_focus(const BlockCall& call, LayerSpec& layer) {
  const Arguments& a = call.arguments;
  a.require_at_most(6);
  if (call.heights.front() % 2 != 0) {
    a.refuse("its source has an odd height");
  }
  ConvSpec spec = conv(call.prefix + ".conv", 4 * call.c1, width_of(call), kernel_argument(call, 1),
                       stride_argument(call, 2));
  spec.padding = a.integer(3, "padding", same_padding(spec.kernel), 0, highest_kernel);
  spec.groups = a.integer(4, "groups", 1, 1, highest_channels);
  spec.activated = a.boolean(5, "activation", true);
  return add_main_conv(call, layer, spec, call.heights.front() / 2);
}

int hidden_channels(const BlockCall& call, int c_out, double expansion) {
  const double hidden = std::floor(c_out * expansion);
  if (!(hidden >= 1) || hidden > highest_channels) {
    call.arguments.refuse(cat("expansion ", expansion, " leaves ", hidden, " hidden channels"));
  }
  return static_cast<int>(hidden);
}

void add_bottleneck(const BlockCall& call, LayerSpec& layer, const std::string& name, int c_in, int c_out,
                    int groups, double expansion) {
  const int hidden = hidden_channels(call, c_out, expansion);
  add_conv(call, layer, conv(name + ".cv1", c_in, hidden), call.heights.front());
  add_conv(call, layer, conv(name + ".cv2", hidden, c_out, 3, 1, groups), call.heights.front());
}

// Bottleneck(c2, shortcut, g, e)
int build_bottleneck(const BlockCall& call, LayerSpec& layer) {
  const Arguments& a = call.arguments;
  a.require_at_most(4);
  layer.c_out = width_of(call);
  layer.shortcut = a.boolean(1, "shortcut", true) && call.c1 == layer.c_out;
  layer.groups = a.integer(2, "groups", 1, 1, highest_channels);
  add_bottleneck(call, layer, call.prefix, call.c1, layer.c_out, layer.groups, a.number(3, "expansion", 0.5));
  return call.heights.front();
}

// The arguments that C3, C3Ghost and BottleneckCSP share: (c2, shortcut, g, e). Returns the hidden channels.
int read_csp_arguments(const BlockCall& call, LayerSpec& layer) {
  const Arguments& a = call.arguments;
  a.require_at_most(4);
  layer.c_out = width_of(call);
  layer.shortcut = a.boolean(1, "shortcut", true);
  layer.groups = a.integer(2, "groups", 1, 1, highest_channels);
  return hidden_channels(call, layer.c_out, a.number(3, "expansion", 0.5));
}

void add_csp_convs(const BlockCall& call, LayerSpec& layer, int hidden) {
  add_conv(call, layer, conv(call.prefix + ".cv1", call.c1, hidden), call.heights.front());
  add_conv(call, layer, conv(call.prefix + ".cv2", call.c1, hidden), call.heights.front());
  add_conv(call, layer, conv(call.prefix + ".cv3", 2 * hidden, layer.c_out), call.heights.front());
}

int build_c3(const BlockCall& call, LayerSpec& layer) {
  const int hidden = read_csp_arguments(call, layer);
  add_csp_convs(call, layer, hidden);
  for (int i = 0; i < layer.repeats; ++i) {
    add_bottleneck(call, layer, cat(call.prefix, ".m.", i), hidden, hidden, layer.groups, 1.0);
  }
  return call.heights.front();
}

int build_bottleneck_csp(const BlockCall& call, LayerSpec& layer) {
  const int hidden = read_csp_arguments(call, layer);
  const auto bare = [&](const char* name, int c_in) {
    ConvSpec spec = conv(call.prefix + name, c_in, hidden);
    spec.bare = true;
    spec.activated = false;
    return spec;
  };
  const int height = call.heights.front();
  add_conv(call, layer, conv(call.prefix + ".cv1", call.c1, hidden), height);
  add_conv(call, layer, bare(".cv2", call.c1), height);
  add_conv(call, layer, bare(".cv3", hidden), height);
  add_conv(call, layer, conv(call.prefix + ".cv4", 2 * hidden, layer.c_out), height);
  add_batch_norm(layer, call.prefix + ".bn", 2 * hidden);
  for (int i = 0; i < layer.repeats; ++i) {
    add_bottleneck(call, layer, cat(call.prefix, ".m.", i), hidden, hidden, layer.groups, 1.0);
  }
  return height;
}

// Half of the channels by a convolution, the other half from those by a cheap 5x5 one a channel.
int add_ghost_conv(const BlockCall& call, LayerSpec& layer, const std::string& name, int c_in, int c_out,
                   int kernel, int stride, int groups, bool activated, int height) {
  if (c_out % 2 != 0) {
    call.arguments.refuse(cat("a GhostConv makes an even number of channels, not ", c_out));
  }
  ConvSpec first = conv(name + ".cv1", c_in, c_out / 2, kernel, stride, groups);
  ConvSpec second = conv(name + ".cv2", c_out / 2, c_out / 2, 5, 1, c_out / 2);
  first.activated = second.activated = activated;
  return add_conv(call, layer, second, add_conv(call, layer, first, height));
}

// GhostConv(c2, k, s, g, act)
int build_ghost_conv(const BlockCall& call, LayerSpec& layer) {
  const Arguments& a = call.arguments;
  a.require_at_most(5);
  layer.c_out = width_of(call);
  layer.kernel = kernel_argument(call, 1);
  layer.stride = stride_argument(call, 2);
  layer.padding = same_padding(layer.kernel);
  layer.groups = a.integer(3, "groups", 1, 1, highest_channels);
  return add_ghost_conv(call, layer, call.prefix, call.c1, layer.c_out, layer.kernel, layer.stride,
                        layer.groups, a.boolean(4, "activation", true), call.heights.front());
}

// With stride 1 the input is added as it is; with stride 2 there is a depthwise convolution in the middle,
// and the shortcut is one too, with a 1x1 behind it.
int add_ghost_bottleneck(const BlockCall& call, LayerSpec& layer, const std::string& name, int c_in,
                         int c_out, int kernel, int stride) {
  const int hidden = c_out / 2;
  int height = call.heights.front();
  height = add_ghost_conv(call, layer, name + ".conv.0", c_in, hidden, 1, 1, 1, true, height);
  if (stride == 2) {
    height = add_conv(call, layer, not_activated(conv(name + ".conv.1", hidden, hidden, kernel, 2, hidden)),
                      height);
  }
  height = add_ghost_conv(call, layer, name + ".conv.2", hidden, c_out, 1, 1, 1, false, height);
  if (stride == 2) {
    add_conv(call, layer, not_activated(conv(name + ".shortcut.0", c_in, c_in, kernel, 2, c_in)),
             call.heights.front());
    add_conv(call, layer, not_activated(conv(name + ".shortcut.1", c_in, c_out)), height);
  } else if (c_in != c_out) {
    call.arguments.refuse(
        cat("with stride 1 it adds its input, but that has ", c_in, " channels and the output ", c_out));
  }
  return height;
}

// GhostBottleneck(c2, k, s)
int build_ghost_bottleneck(const BlockCall& call, LayerSpec& layer) {
  call.arguments.require_at_most(3);
  layer.c_out = width_of(call);
  layer.kernel = kernel_argument(call, 1, 3);
  layer.stride = call.arguments.integer(2, "stride", 1, 1, 2);
  layer.padding = same_padding(layer.kernel);
  return add_ghost_bottleneck(call, layer, call.prefix, call.c1, layer.c_out, layer.kernel, layer.stride);
}

int build_c3_ghost(const BlockCall& call, LayerSpec& layer) {
  const int hidden = read_csp_arguments(call, layer);
  add_csp_convs(call, layer, hidden);
  for (int i = 0; i < layer.repeats; ++i) {
    add_ghost_bottleneck(call, layer, cat(call.prefix, ".m.", i), hidden, hidden, 3, 1);
  }
  return call.heights.front();
}

// SPP(c2, kernels) and SPPF(c2, kernel): poolings side by side, or three of one size in a row.
void add_pooling_convs(const BlockCall& call, LayerSpec& layer, int branch_count) {
  const int hidden = call.c1 / 2;
  add_conv(call, layer, conv(call.prefix + ".cv1", call.c1, hidden), call.heights.front());
  add_conv(call, layer, conv(call.prefix + ".cv2", hidden * branch_count, layer.c_out), call.heights.front());
}

void require_odd(const BlockCall& call, int kernel) {
  if (kernel % 2 == 0) {
    call.arguments.refuse(cat("a pooling of ", kernel, " pixels would change the size; take an odd one"));
  }
}

int build_spp(const BlockCall& call, LayerSpec& layer) {
  call.arguments.require_at_most(2);
  layer.c_out = width_of(call);
  layer.kernels = call.arguments.integers(1, "kernels", {5, 9, 13}, 1, highest_kernel);
  for (const int kernel : layer.kernels) {
    require_odd(call, kernel);
  }
  add_pooling_convs(call, layer, static_cast<int>(layer.kernels.size()) + 1);
  return call.heights.front();
}

int build_sppf(const BlockCall& call, LayerSpec& layer) {
  call.arguments.require_at_most(2);
  layer.c_out = width_of(call);
  layer.kernel = kernel_argument(call, 1, 5);
  require_odd(call, layer.kernel);
  add_pooling_convs(call, layer, 4);
  return call.heights.front();
}

int build_concat(const BlockCall& call, LayerSpec& layer) {
  call.arguments.require_at_most(1);
  call.arguments.integer(0, "dimension", 1, 1, 1);
  for (const int height : call.heights) {
    if (height != call.heights.front()) {
      call.arguments.refuse(cat("its sources have different sizes: ", probe_side_px, " px become ",
                                call.heights.front(), " and ", height, " cells"));
    }
  }
  layer.c_out = std::accumulate(layer.c_in.begin(), layer.c_in.end(), 0);
  if (layer.c_out > highest_channels) {
    call.arguments.refuse(cat("has ", layer.c_out, " channels; the most is ", highest_channels));
  }
  return call.heights.front();
}

// nn.Upsample(size, scale_factor, mode)
int build_upsample(const BlockCall& call, LayerSpec& layer) {
  const Arguments& a = call.arguments;
  a.require_at_most(3);
  const bool is_nearest = !a.has(2) || a.values[2].text == "nearest";
  if (a.has(0) || !is_nearest) {
    a.refuse(cat("only [None, scale, 'nearest'] is supported, not ", text_of(a.values)));
  }
  layer.stride = a.integer(1, "scale", std::nullopt, 1, highest_stride);
  layer.c_out = call.c1;
  const int height = call.heights.front() * layer.stride;
  if (height > highest_side_px) {
    a.refuse(cat("makes a picture of ", probe_side_px, " px ", height, " cells wide; the most is ",
                 highest_side_px));
  }
  return height;
}

// Detect(nc, anchors): a 1x1 convolution with bias for each source.
int build_detect(const BlockCall& call, LayerSpec& layer) {
  using Role = StateEntry::Role;
  const ModelSpec& model = call.model;
  const int64_t level_count = static_cast<int64_t>(layer.c_in.size());
  layer.entries.push_back(
      {call.prefix + ".anchors", Role::anchors, {level_count, model.anchors_per_level(), 2}});
  const int64_t outputs = model.anchors_per_level() * model.outputs_per_anchor();
  for (int64_t level = 0; level < level_count; ++level) {
    const std::string name = cat(call.prefix, ".m.", level);
    layer.entries.push_back(
        {name + ".weight", Role::conv_weight, {outputs, layer.c_in[static_cast<size_t>(level)], 1, 1}});
    layer.entries.push_back({name + ".bias", Role::conv_bias, {outputs}});
  }
  return call.heights.front();
}

constexpr std::array blocks = {
    Block{.name = "Conv", .build = build_conv},
    Block{.name = "DWConv", .build = build_dwconv},
    Block{.name = "Focus", .build = build_focus},
    Block{.name = "Bottleneck", .build = build_bottleneck},
    Block{.name = "C3", .repeats_inside = true, .build = build_c3},
    Block{.name = "SPP", .build = build_spp},
    Block{.name = "SPPF", .build = build_sppf},
    Block{.name = "BottleneckCSP", .repeats_inside = true, .build = build_bottleneck_csp},
    Block{.name = "GhostConv", .build = build_ghost_conv},
    Block{.name = "GhostBottleneck", .build = build_ghost_bottleneck},
    Block{.name = "C3Ghost", .repeats_inside = true, .build = build_c3_ghost},
    Block{.name = "Concat", .takes_many_sources = true, .has_width = false, .build = build_concat},
    Block{.name = "Upsample", .has_width = false, .build = build_upsample},
    Block{.name = "Detect", .takes_many_sources = true, .has_width = false, .build = build_detect},
};

}  // namespace

const Block* find_block(std::string_view module) {
  const bool is_torch_module = module.starts_with("nn.");
  const std::string_view name = is_torch_module ? module.substr(3) : module;
  const auto found =
      std::find_if(blocks.begin(), blocks.end(), [&](const Block& block) { return block.name == name; });
  // Upsample is torch's own and written with nn., all others without.
  const bool exists = found != blocks.end() && is_torch_module == (name == "Upsample");
  return exists ? &*found : nullptr;
}

std::vector<std::string> block_names() {
  std::vector<std::string> names;
  for (const Block& block : blocks) {
    names.emplace_back(block.name);
  }
  return names;
}

}  // namespace yolodist::model_spec
