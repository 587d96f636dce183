// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/model/model.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/stack.h>

#include <utility>

#include "common/base/error.h"
#include "common/base/text.h"
#include "worker/model/blocks.h"

namespace yolodist::model {

Model::Model(model_spec::ModelSpec the_spec, at::ScalarType dtype)
    : spec(std::move(the_spec)), state(spec.entries(), dtype), batch_norms(spec.entries()), dtype_(dtype) {}

Model::Model(const Model& like, StateDict the_state)
    : spec(like.spec), state(std::move(the_state)), batch_norms(like.batch_norms), dtype_(like.dtype_) {}

void Model::to(at::Device device) {
  for (size_t i = 0; i < state.size(); ++i) {
    state[i] = state[i].to(device);
  }
}

namespace {

// Source: ultralytics/yolov5 v7.0 models/yolo.py, Detect: the channels of a level are anchor-major.
at::Tensor detect_level(const Model& model, const std::string& name, const at::Tensor& x) {
  const at::Tensor y = at::conv2d(x, model.state.at(name + ".weight"), model.state.at(name + ".bias"));
  const int64_t anchors = model.spec.anchors_per_level(), outputs = model.spec.outputs_per_anchor();
  return y.view({y.size(0), anchors, outputs, y.size(2), y.size(3)}).permute({0, 1, 3, 4, 2});
}

}  // namespace

std::vector<at::Tensor> forward(const Model& model, const at::Tensor& images, BatchNormRecord* record) {
  Pass pass{.state = model.state,
            .activation = model.spec.activation,
            .table = &model.batch_norms,
            .record = record};
  const std::vector<bool> saved = model.spec.saved();
  std::vector<Activation> outputs(model.spec.layers.size());
  Activation previous{images.contiguous(at::MemoryFormat::ChannelsLast), nullptr};
  const Activation input = previous;
  std::vector<at::Tensor> raw;
  for (const auto& layer : model.spec.layers) {
    std::vector<Activation> inputs;
    for (const int source : layer.from) {
      inputs.push_back(source < 0                  ? input
                       : source == layer.index - 1 ? previous
                                                   : outputs.at(static_cast<size_t>(source)));
    }
    if (layer.block == "Detect") {
      pass.layer_index = layer.index;
      for (size_t level = 0; level < inputs.size(); ++level) {
        raw.push_back(detect_level(model, cat("model.", layer.index, ".m.", level), inputs[level].value));
      }
      return raw;
    }
    previous = run_block(pass, layer, inputs);
    if (saved[static_cast<size_t>(layer.index)]) {
      outputs[static_cast<size_t>(layer.index)] = previous;
    }
  }
  throw InternalError(cat("model ", model.spec.name, " has no Detect layer"));
}

at::Tensor decode(const Model& model, const std::vector<at::Tensor>& raw) {
  const at::Tensor anchors = model.state.at(cat("model.", model.spec.layers.back().index, ".anchors"));
  std::vector<at::Tensor> levels;
  for (size_t level = 0; level < raw.size(); ++level) {
    const at::Tensor y = at::sigmoid(raw[level]);
    const int64_t rows = y.size(2), columns = y.size(3);
    const double stride = model.spec.strides_px[level];
    const at::Tensor grid_y = at::arange(rows, y.options()).view({rows, 1}).expand({rows, columns});
    const at::Tensor grid_x = at::arange(columns, y.options()).view({1, columns}).expand({rows, columns});
    const at::Tensor grid = at::stack({grid_x, grid_y}, 2).view({1, 1, rows, columns, 2}) - 0.5;
    const at::Tensor anchors_px =
        (anchors.select(0, static_cast<int64_t>(level)) * stride).view({1, anchors.size(1), 1, 1, 2});
    const at::Tensor xy = (y.narrow(4, 0, 2) * 2 + grid) * stride;
    const at::Tensor half_wh = y.narrow(4, 2, 2) * 2;
    const at::Tensor wh = half_wh * half_wh * anchors_px;
    const at::Tensor boxes = at::cat({xy, wh, y.narrow(4, 4, y.size(4) - 4)}, 4);
    levels.push_back(boxes.reshape({y.size(0), -1, y.size(4)}));
  }
  return at::cat(levels, 1);
}

std::vector<std::vector<std::array<float, 2>>> grid_anchors(const Model& model) {
  const at::Tensor anchors = model.state.at(cat("model.", model.spec.layers.back().index, ".anchors"))
                                 .detach()
                                 .to(at::kCPU, at::kFloat)
                                 .contiguous();
  const float* value = anchors.const_data_ptr<float>();
  std::vector<std::vector<std::array<float, 2>>> result(static_cast<size_t>(anchors.size(0)));
  for (auto& level : result) {
    for (int64_t a = 0; a < anchors.size(1); ++a, value += 2) {
      level.push_back({value[0], value[1]});
    }
  }
  return result;
}

}  // namespace yolodist::model
