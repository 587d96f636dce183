// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/model/blocks.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/batch_norm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/hardswish.h>
#include <ATen/ops/leaky_relu.h>
#include <ATen/ops/max_pool2d.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/slice.h>
#include <ATen/ops/upsample_nearest2d.h>

#include <algorithm>
#include <map>

#include "common/base/error.h"
#include "common/base/text.h"
#include "worker/ops/batch_norm.h"

namespace yolodist::model {
namespace {

using model_spec::ConvSpec;
using model_spec::LayerSpec;

at::Tensor activate(const Pass& pass, const at::Tensor& x) {
  const std::string& name = pass.activation;
  if (name == "SiLU") {
    return at::silu(x);
  }
  if (name == "ReLU") {
    return at::relu(x);
  }
  if (name == "Hardswish") {
    return at::hardswish(x);
  }
  if (name == "Identity") {
    return x;
  }
  check(name.starts_with("LeakyReLU("), cat("activation ", name, " passed the yaml reader"));
  return at::leaky_relu(x, std::stod(name.substr(std::string("LeakyReLU(").size())));
}

// With a record, batch statistics go into the record (momentum 1 writes them as they are: mean and unbiased
// variance) and the running ones are left alone: they move once an iteration, for all groups of all ranks.
at::Tensor batch_norm(Pass& pass, const std::string& name, const at::Tensor& x) {
  const at::Tensor& weight = pass.state.at(name + ".weight");
  const at::Tensor& bias = pass.state.at(name + ".bias");
  if (pass.record == nullptr) {
    return at::batch_norm(x, weight, bias, pass.state.at(name + ".running_mean"),
                          pass.state.at(name + ".running_var"), false, bn_momentum, bn_eps, true);
  }
  const auto& place = pass.table->places.at(name);
  pass.record->value_count[static_cast<size_t>(place.index)] = x.size(0) * x.size(2) * x.size(3);
  const at::Tensor mean = pass.record->mean.narrow(0, place.offset, place.channels);
  const at::Tensor variance = pass.record->variance.narrow(0, place.offset, place.channels);
  if (x.is_cpu() && x.scalar_type() == at::kFloat && x.is_contiguous(at::MemoryFormat::ChannelsLast)) {
    return ops::batch_norm_with_double_sums(x, weight, bias, mean, variance, bn_eps);
  }
  return at::batch_norm(x, weight, bias, mean, variance, true, 1.0, bn_eps, true);
}

// A convolution of the running layer, by its name in the state dict.
const ConvSpec& conv_spec(const Pass& pass, const std::string& name) {
  const auto& convs = pass.layer->convs;
  const auto found =
      std::find_if(convs.begin(), convs.end(), [&](const ConvSpec& conv) { return conv.name == name; });
  check(found != convs.end(), cat("the layer table has the convolution ", name));
  return *found;
}

// A convolution alone. It has a bias only where it is fused with its batch norm (fuse.h).
at::Tensor bare_conv(const Pass& pass, const std::string& name, const at::Tensor& x) {
  const ConvSpec& spec = conv_spec(pass, name);
  const std::string stem = name + (spec.bare ? "" : ".conv");
  const std::string bias = stem + ".bias";
  return at::conv2d(x, pass.state.at(stem + ".weight"),
                    pass.state.contains(bias) ? pass.state.at(bias) : at::Tensor(), spec.stride, spec.padding,
                    spec.dilation, spec.groups);
}

// YOLOv5's Conv: convolution without bias, batch norm, activation; fused, convolution with bias, activation.
at::Tensor conv(Pass& pass, const std::string& name, const at::Tensor& x) {
  at::Tensor y = bare_conv(pass, name, x);
  if (pass.state.contains(name + ".bn.weight")) {
    y = batch_norm(pass, name + ".bn", y);
  }
  return conv_spec(pass, name).activated ? activate(pass, y) : y;
}

at::Tensor bottleneck(Pass& pass, const std::string& name, const at::Tensor& x, bool shortcut) {
  const at::Tensor y = conv(pass, name + ".cv2", conv(pass, name + ".cv1", x));
  return shortcut && y.size(1) == x.size(1) ? x + y : y;
}

at::Tensor bottlenecks(Pass& pass, const std::string& name, at::Tensor x, const LayerSpec& layer) {
  for (int j = 0; j < layer.repeats; ++j) {
    x = bottleneck(pass, cat(name, ".m.", j), x, layer.shortcut);
  }
  return x;
}

at::Tensor ghost_conv(Pass& pass, const std::string& name, const at::Tensor& x) {
  const at::Tensor y = conv(pass, name + ".cv1", x);
  return at::cat({y, conv(pass, name + ".cv2", y)}, 1);
}

at::Tensor ghost_bottleneck(Pass& pass, const std::string& name, const at::Tensor& x, int stride) {
  at::Tensor y = ghost_conv(pass, name + ".conv.0", x);
  at::Tensor straight = x;
  if (stride == 2) {
    y = conv(pass, name + ".conv.1", y);
    straight = conv(pass, name + ".shortcut.1", conv(pass, name + ".shortcut.0", x));
  }
  return ghost_conv(pass, name + ".conv.2", y) + straight;
}

at::Tensor pool_same(const at::Tensor& x, int kernel) {
  return at::max_pool2d(x, kernel, 1, kernel / 2);
}

at::Tensor run_conv(Pass& pass, const LayerSpec&, const std::string& name, const at::Tensor& x) {
  return conv(pass, name, x);
}

at::Tensor run_focus(Pass& pass, const LayerSpec&, const std::string& name, const at::Tensor& x) {
  const auto quarter = [&x](int64_t row, int64_t column) {
    return at::slice(at::slice(x, 2, row, {}, 2), 3, column, {}, 2);
  };
  return conv(pass, name + ".conv", at::cat({quarter(0, 0), quarter(1, 0), quarter(0, 1), quarter(1, 1)}, 1));
}

at::Tensor run_bottleneck(Pass& pass, const LayerSpec& layer, const std::string& name, const at::Tensor& x) {
  return bottleneck(pass, name, x, layer.shortcut);
}

at::Tensor run_c3(Pass& pass, const LayerSpec& layer, const std::string& name, const at::Tensor& x) {
  const at::Tensor deep = bottlenecks(pass, name, conv(pass, name + ".cv1", x), layer);
  return conv(pass, name + ".cv3", at::cat({deep, conv(pass, name + ".cv2", x)}, 1));
}

at::Tensor run_c3_ghost(Pass& pass, const LayerSpec& layer, const std::string& name, const at::Tensor& x) {
  at::Tensor deep = conv(pass, name + ".cv1", x);
  for (int j = 0; j < layer.repeats; ++j) {
    deep = ghost_bottleneck(pass, cat(name, ".m.", j), deep, 1);
  }
  return conv(pass, name + ".cv3", at::cat({deep, conv(pass, name + ".cv2", x)}, 1));
}

at::Tensor run_bottleneck_csp(Pass& pass, const LayerSpec& layer, const std::string& name,
                              const at::Tensor& x) {
  const at::Tensor deep = bottlenecks(pass, name, conv(pass, name + ".cv1", x), layer);
  const at::Tensor joined =
      at::cat({bare_conv(pass, name + ".cv3", deep), bare_conv(pass, name + ".cv2", x)}, 1);
  // This one SiLU does not follow the model's activation. Source: ultralytics/yolov5 v7.0 models/common.py,
  // BottleneckCSP.
  return conv(pass, name + ".cv4", at::silu(batch_norm(pass, name + ".bn", joined)));
}

at::Tensor run_spp(Pass& pass, const LayerSpec& layer, const std::string& name, const at::Tensor& x) {
  std::vector<at::Tensor> parts = {conv(pass, name + ".cv1", x)};
  for (const int kernel : layer.kernels) {
    parts.push_back(pool_same(parts[0], kernel));
  }
  return conv(pass, name + ".cv2", at::cat(parts, 1));
}

at::Tensor run_sppf(Pass& pass, const LayerSpec& layer, const std::string& name, const at::Tensor& x) {
  const at::Tensor y0 = conv(pass, name + ".cv1", x);
  const at::Tensor y1 = pool_same(y0, layer.kernel);
  const at::Tensor y2 = pool_same(y1, layer.kernel);
  return conv(pass, name + ".cv2", at::cat({y0, y1, y2, pool_same(y2, layer.kernel)}, 1));
}

at::Tensor run_ghost_conv(Pass& pass, const LayerSpec&, const std::string& name, const at::Tensor& x) {
  return ghost_conv(pass, name, x);
}

at::Tensor run_ghost_bottleneck(Pass& pass, const LayerSpec& layer, const std::string& name,
                                const at::Tensor& x) {
  return ghost_bottleneck(pass, name, x, layer.stride);
}

at::Tensor run_upsample(Pass&, const LayerSpec& layer, const std::string&, const at::Tensor& x) {
  const double scale = layer.stride;
  return at::upsample_nearest2d(x, {x.size(2) * layer.stride, x.size(3) * layer.stride}, scale, scale);
}

using BlockForward = at::Tensor (*)(Pass&, const LayerSpec&, const std::string&, const at::Tensor&);

// The forwards of the blocks with one source; Concat is the only one with several.
const std::map<std::string, BlockForward>& forwards() {
  static const std::map<std::string, BlockForward> table = {
      {"Conv", run_conv},
      {"DWConv", run_conv},
      {"Focus", run_focus},
      {"Bottleneck", run_bottleneck},
      {"C3", run_c3},
      {"C3Ghost", run_c3_ghost},
      {"BottleneckCSP", run_bottleneck_csp},
      {"SPP", run_spp},
      {"SPPF", run_sppf},
      {"GhostConv", run_ghost_conv},
      {"GhostBottleneck", run_ghost_bottleneck},
      {"Upsample", run_upsample},
  };
  return table;
}

// Blocks that take their repeat count inside; the others stand several times in a row.
bool repeats_inside(const LayerSpec& layer) {
  return layer.block == "C3" || layer.block == "C3Ghost" || layer.block == "BottleneckCSP";
}

}  // namespace

Activation run_block(Pass& pass, const LayerSpec& layer, const std::vector<Activation>& inputs) {
  pass.layer_index = layer.index;
  pass.layer = &layer;
  if (layer.block == "Concat") {
    std::vector<at::Tensor> parts;
    for (const Activation& input : inputs) {
      parts.push_back(input.value);
    }
    return {at::cat(parts, 1), nullptr};
  }
  const auto found = forwards().find(layer.block);
  check(found != forwards().end(), cat("block ", layer.block, " has a forward"));
  const std::string name = cat("model.", layer.index);
  at::Tensor x = inputs.at(0).value;
  if (layer.repeats == 1 || repeats_inside(layer)) {
    return {found->second(pass, layer, name, x), nullptr};
  }
  for (int j = 0; j < layer.repeats; ++j) {
    x = found->second(pass, layer, cat(name, ".", j), x);
  }
  return {x, nullptr};
}

}  // namespace yolodist::model
