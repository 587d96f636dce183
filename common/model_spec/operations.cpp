// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/model_spec/operations.h"

#include <algorithm>
#include <string>

#include "common/base/error.h"
#include "common/base/text.h"

namespace yolodist::model_spec {
namespace {

using Kind = Operation::Kind;

int side_after(const ConvSpec& conv, int side) {
  return (side + 2 * conv.padding - conv.dilation * (conv.kernel - 1) - 1) / conv.stride + 1;
}

// Runs the blocks on shapes, as worker/model/blocks.cpp runs them on tensors.
class Tracer {
 public:
  Tracer(const ModelSpec& spec, OperationTable& table) : spec_(spec), table_(table) {}

  void run(const LayerSpec& layer) {
    layer_ = &layer;
    std::vector<int> inputs;
    for (const int source : layer.from) {
      inputs.push_back(source < 0 ? 0 : table_.output_of_layer[static_cast<size_t>(source)]);
    }
    if (layer.block == "Detect") {
      for (const int input : inputs) {
        const TensorShape& in = shape(input);
        const int channels = spec_.anchors_per_level() * spec_.outputs_per_anchor();
        emit(Kind::detect, {input}, {channels, in.height, in.width});
      }
      table_.output_of_layer.push_back(-1);
      return;
    }
    if (layer.block == "Concat") {
      table_.output_of_layer.push_back(concat(inputs));
      return;
    }
    const std::string name = cat("model.", layer.index);
    const bool repeats_inside =
        layer.block == "C3" || layer.block == "C3Ghost" || layer.block == "BottleneckCSP";
    int x = inputs.at(0);
    if (layer.repeats == 1 || repeats_inside) {
      x = block(name, x);
    } else {
      for (int j = 0; j < layer.repeats; ++j) {
        x = block(cat(name, ".", j), x);
      }
    }
    table_.output_of_layer.push_back(x);
  }

 private:
  const TensorShape& shape(int tensor) const { return table_.tensors[static_cast<size_t>(tensor)]; }

  int emit(Kind kind, std::vector<int> inputs, TensorShape output, const ConvSpec* conv = nullptr) {
    table_.tensors.push_back(output);
    const int id = static_cast<int>(table_.tensors.size()) - 1;
    table_.operations.push_back({kind, layer_->index, conv, std::move(inputs), id});
    return id;
  }

  int conv(const std::string& name, int x) {
    const auto found = std::find_if(layer_->convs.begin(), layer_->convs.end(),
                                    [&](const ConvSpec& c) { return c.name == name; });
    check(found != layer_->convs.end(), cat("the layer table has the convolution ", name));
    const TensorShape in = shape(x);
    return emit(Kind::conv, {x}, {found->c_out, side_after(*found, in.height), side_after(*found, in.width)},
                &*found);
  }

  int concat(const std::vector<int>& parts) {
    TensorShape out = shape(parts.front());
    out.channels = 0;
    for (const int part : parts) {
      out.channels += shape(part).channels;
    }
    return emit(Kind::concat, parts, out);
  }

  int same_shape(Kind kind, std::vector<int> inputs) {
    const TensorShape out = shape(inputs.front());
    return emit(kind, std::move(inputs), out);
  }

  int bottleneck(const std::string& name, int x) {
    const int y = conv(name + ".cv2", conv(name + ".cv1", x));
    return layer_->shortcut && shape(x).channels == shape(y).channels ? same_shape(Kind::add, {x, y}) : y;
  }

  int bottlenecks(const std::string& name, int x) {
    for (int j = 0; j < layer_->repeats; ++j) {
      x = bottleneck(cat(name, ".m.", j), x);
    }
    return x;
  }

  int ghost_conv(const std::string& name, int x) {
    const int y = conv(name + ".cv1", x);
    return concat({y, conv(name + ".cv2", y)});
  }

  int ghost_bottleneck(const std::string& name, int x, int stride) {
    int y = ghost_conv(name + ".conv.0", x);
    int straight = x;
    if (stride == 2) {
      y = conv(name + ".conv.1", y);
      straight = conv(name + ".shortcut.1", conv(name + ".shortcut.0", x));
    }
    return same_shape(Kind::add, {ghost_conv(name + ".conv.2", y), straight});
  }

  int pools(const std::string& name, int x, bool in_a_row) {
    const int first = conv(name + ".cv1", x);
    std::vector<int> parts = {first};
    const size_t count = in_a_row ? 3 : layer_->kernels.size();
    for (size_t i = 0; i < count; ++i) {
      parts.push_back(same_shape(Kind::max_pool, {in_a_row ? parts.back() : first}));
    }
    return conv(name + ".cv2", concat(parts));
  }

  int csp_tail(const std::string& name, int deep, int x) {
    return conv(name + ".cv3", concat({deep, conv(name + ".cv2", x)}));
  }

  int block(const std::string& name, int x) {
    const std::string& kind = layer_->block;
    if (kind == "Conv" || kind == "DWConv") {
      return conv(name, x);
    }
    if (kind == "Focus") {
      const TensorShape in = shape(x);
      return conv(name + ".conv",
                  emit(Kind::space_to_depth, {x}, {4 * in.channels, in.height / 2, in.width / 2}));
    }
    if (kind == "Bottleneck") {
      return bottleneck(name, x);
    }
    if (kind == "C3") {
      return csp_tail(name, bottlenecks(name, conv(name + ".cv1", x)), x);
    }
    if (kind == "C3Ghost") {
      int deep = conv(name + ".cv1", x);
      for (int j = 0; j < layer_->repeats; ++j) {
        deep = ghost_bottleneck(cat(name, ".m.", j), deep, 1);
      }
      return csp_tail(name, deep, x);
    }
    if (kind == "BottleneckCSP") {
      const int deep = conv(name + ".cv3", bottlenecks(name, conv(name + ".cv1", x)));
      return conv(name + ".cv4", same_shape(Kind::normalise, {concat({deep, conv(name + ".cv2", x)})}));
    }
    if (kind == "SPP" || kind == "SPPF") {
      return pools(name, x, kind == "SPPF");
    }
    if (kind == "GhostConv") {
      return ghost_conv(name, x);
    }
    if (kind == "GhostBottleneck") {
      return ghost_bottleneck(name, x, layer_->stride);
    }
    check(kind == "Upsample", cat("block ", kind, " is known as operations"));
    const TensorShape in = shape(x);
    return emit(Kind::upsample, {x}, {in.channels, in.height * layer_->stride, in.width * layer_->stride});
  }

  const ModelSpec& spec_;
  OperationTable& table_;
  const LayerSpec* layer_ = nullptr;
};

}  // namespace

OperationTable operations_of(const ModelSpec& spec, int height_px, int width_px) {
  OperationTable table;
  table.tensors.push_back({3, height_px, width_px});
  Tracer tracer(spec, table);
  for (const LayerSpec& layer : spec.layers) {
    tracer.run(layer);
  }
  return table;
}

}  // namespace yolodist::model_spec
