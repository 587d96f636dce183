// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/model/blocks.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/alias.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/max_pool2d.h>
#include <ATen/ops/slice.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <map>
#include <utility>

#include "common/base/error.h"
#include "common/base/text.h"
#include "worker/memory/mark.h"
#include "worker/ops/block.h"

namespace yolodist::model {
namespace {

using model_spec::LayerSpec;
using plan::Recompute;

// Parts whose concatenation goes into a convolution of the same layer.
Activation join_inside(const Pass& pass, const std::vector<Activation>& parts) {
  return ops::join(parts, pass.policy != Recompute::none);
}

Activation bottleneck(const Pass& pass, const std::string& name, Activation x, bool shortcut) {
  const bool adds = shortcut && conv_spec(pass, name + ".cv2").c_out == x.value.size(1);
  const at::Tensor straight = adds ? x.value : at::Tensor();
  Activation y = conv(pass, name + ".cv2", conv(pass, name + ".cv1", std::move(x)));
  return adds ? Activation{straight + y.value, nullptr} : y;
}

Activation bottlenecks(const Pass& pass, const std::string& name, Activation x, const LayerSpec& layer) {
  for (int j = 0; j < layer.repeats; ++j) {
    x = bottleneck(pass, cat(name, ".m.", j), std::move(x), layer.shortcut);
  }
  return x;
}

Activation ghost_conv(const Pass& pass, const std::string& name, Activation x, bool wants_recipe) {
  const Activation y = conv(pass, name + ".cv1", std::move(x));
  return ops::join({y, conv(pass, name + ".cv2", y)}, wants_recipe);
}

Activation ghost_bottleneck(const Pass& pass, const std::string& name, Activation x, int stride) {
  Activation y = ghost_conv(pass, name + ".conv.0", x, pass.policy != Recompute::none);
  Activation straight = std::move(x);
  if (stride == 2) {
    y = conv(pass, name + ".conv.1", std::move(y));
    straight = conv(pass, name + ".shortcut.1", conv(pass, name + ".shortcut.0", std::move(straight)));
  }
  y = ghost_conv(pass, name + ".conv.2", std::move(y), /*wants_recipe=*/false);
  return {y.value + straight.value, nullptr};
}

Activation pool_same(const Activation& x, int kernel) {
  return {at::max_pool2d(x.value, kernel, 1, kernel / 2), nullptr};
}

Activation run_conv(const Pass& pass, const LayerSpec&, const std::string& name, Activation x) {
  return conv(pass, name, std::move(x));
}

Activation run_focus(const Pass& pass, const LayerSpec&, const std::string& name, Activation x) {
  const auto quarter = [&x](int64_t row, int64_t column) {
    return at::slice(at::slice(x.value, 2, row, {}, 2), 3, column, {}, 2);
  };
  Activation deep{at::cat({quarter(0, 0), quarter(1, 0), quarter(0, 1), quarter(1, 1)}, 1), nullptr};
  x = {};
  return conv(pass, name + ".conv", std::move(deep));
}

Activation run_bottleneck(const Pass& pass, const LayerSpec& layer, const std::string& name, Activation x) {
  return bottleneck(pass, name, std::move(x), layer.shortcut);
}

Activation run_c3(const Pass& pass, const LayerSpec& layer, const std::string& name, Activation x) {
  Activation deep = bottlenecks(pass, name, conv(pass, name + ".cv1", x), layer);
  Activation joined = join_inside(pass, {deep, conv(pass, name + ".cv2", std::move(x))});
  deep = {};
  return conv(pass, name + ".cv3", std::move(joined));
}

Activation run_c3_ghost(const Pass& pass, const LayerSpec& layer, const std::string& name, Activation x) {
  Activation deep = conv(pass, name + ".cv1", x);
  for (int j = 0; j < layer.repeats; ++j) {
    deep = ghost_bottleneck(pass, cat(name, ".m.", j), std::move(deep), 1);
  }
  Activation joined = join_inside(pass, {deep, conv(pass, name + ".cv2", std::move(x))});
  deep = {};
  return conv(pass, name + ".cv3", std::move(joined));
}

Activation run_bottleneck_csp(const Pass& pass, const LayerSpec& layer, const std::string& name,
                              Activation x) {
  Activation deep = bottlenecks(pass, name, conv(pass, name + ".cv1", x), layer);
  deep = bare_conv(pass, name + ".cv3", std::move(deep));
  Activation joined = join_inside(pass, {deep, bare_conv(pass, name + ".cv2", std::move(x))});
  deep = {};
  // This one SiLU does not follow the model's activation. Source: ultralytics/yolov5 v7.0 models/common.py,
  // BottleneckCSP.
  return conv(pass, name + ".cv4", batch_norm_and_silu(pass, name + ".bn", std::move(joined)));
}

Activation run_spp(const Pass& pass, const LayerSpec& layer, const std::string& name, Activation x) {
  std::vector<Activation> parts = {conv(pass, name + ".cv1", std::move(x))};
  for (const int kernel : layer.kernels) {
    parts.push_back(pool_same(parts[0], kernel));
  }
  Activation joined = join_inside(pass, parts);
  parts.clear();
  return conv(pass, name + ".cv2", std::move(joined));
}

Activation run_sppf(const Pass& pass, const LayerSpec& layer, const std::string& name, Activation x) {
  std::vector<Activation> parts = {conv(pass, name + ".cv1", std::move(x))};
  for (int i = 0; i < 3; ++i) {
    parts.push_back(pool_same(parts.back(), layer.kernel));
  }
  Activation joined = join_inside(pass, parts);
  parts.clear();
  return conv(pass, name + ".cv2", std::move(joined));
}

Activation run_ghost_conv(const Pass& pass, const LayerSpec&, const std::string& name, Activation x) {
  return ghost_conv(pass, name, std::move(x), pass.wants_recipe);
}

Activation run_ghost_bottleneck(const Pass& pass, const LayerSpec& layer, const std::string& name,
                                Activation x) {
  return ghost_bottleneck(pass, name, std::move(x), layer.stride);
}

Activation run_upsample(const Pass&, const LayerSpec& layer, const std::string&, Activation x) {
  return ops::upsample(x, layer.stride);
}

// The forward of a block with one source; Concat is the only one with several.
struct BlockForward {
  Activation (*run)(const Pass&, const LayerSpec&, const std::string&, Activation);
  bool recomputes_whole = false;  // under Recompute::block
};

const BlockForward& forward_of(const std::string& block) {
  static const std::map<std::string, BlockForward> table = {
      {"Conv", {run_conv}},
      {"DWConv", {run_conv}},
      {"Focus", {run_focus}},
      {"Bottleneck", {run_bottleneck, true}},
      {"C3", {run_c3, true}},
      {"C3Ghost", {run_c3_ghost, true}},
      {"BottleneckCSP", {run_bottleneck_csp, true}},
      {"SPP", {run_spp, true}},
      {"SPPF", {run_sppf, true}},
      {"GhostConv", {run_ghost_conv}},
      {"GhostBottleneck", {run_ghost_bottleneck, true}},
      {"Upsample", {run_upsample}},
  };
  const auto found = table.find(block);
  check(found != table.end(), cat("block ", block, " has a forward"));
  return found->second;
}

// Blocks that take their repeat count inside; the others stand several times in a row.
bool repeats_inside(const LayerSpec& layer) {
  return layer.block == "C3" || layer.block == "C3Ghost" || layer.block == "BottleneckCSP";
}

Activation run_all(const Pass& pass, const BlockForward& forward, Activation x) {
  const LayerSpec& layer = *pass.layer;
  const std::string name = cat("model.", layer.index);
  if (layer.repeats == 1 || repeats_inside(layer)) {
    return forward.run(pass, layer, name, std::move(x));
  }
  for (int j = 0; j < layer.repeats; ++j) {
    x = forward.run(pass, layer, cat(name, ".", j), std::move(x));
  }
  return x;
}

bool has_trained_parameters(const Pass& pass) {
  const auto& entries = pass.layer->entries;
  return std::any_of(entries.begin(), entries.end(), [&](const model_spec::StateEntry& entry) {
    return entry.is_parameter() && pass.state->contains(entry.name) &&
           pass.state->at(entry.name).requires_grad();
  });
}

Activation run_and_run_again(const Pass& pass, const BlockForward& forward, Activation x) {
  Pass now = pass, again = pass;
  now.policy = again.policy = Recompute::none;
  again.record = nullptr;
  ops::Block block{
      .forward = [now, &forward](Activation input) { return run_all(now, forward, std::move(input)).value; },
      .again = [again,
                &forward](Activation input) { return run_all(again, forward, std::move(input)).value; },
      .has_trained_parameters = has_trained_parameters(pass),
      .layer = pass.layer->index};
  return {ops::run_and_run_again(std::move(x), std::move(block)), nullptr};
}

}  // namespace

bool recomputes_whole(const LayerSpec& layer) {
  return layer.block != "Concat" && layer.block != "Detect" && forward_of(layer.block).recomputes_whole;
}

Activation run_block(Pass& pass, const LayerSpec& layer, std::vector<Activation> inputs) {
  pass.layer = &layer;
  const memory::LayerScope scope(layer.index, nullptr);
  if (layer.block == "Concat") {
    return ops::join(inputs, pass.wants_recipe);
  }
  const BlockForward& forward = forward_of(layer.block);
  Activation x = std::move(inputs.at(0));
  inputs.clear();
  if (!forward.recomputes_whole) {
    return run_all(pass, forward, std::move(x));
  }
  if (pass.policy == Recompute::block) {
    return run_and_run_again(pass, forward, std::move(x));
  }
  if (at::GradMode::is_enabled() && x.value.requires_grad()) {
    // The layer's gradients of x are added up before those of other layers, as when it is computed again: so
    // both add in the same order.
    x.value = at::alias(x.value);
  }
  return run_all(pass, forward, std::move(x));
}

}  // namespace yolodist::model
