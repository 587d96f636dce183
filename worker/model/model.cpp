// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/model/model.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/stack.h>

#include <utility>

#include "common/base/error.h"
#include "common/base/text.h"
#include "worker/memory/mark.h"
#include "worker/model/blocks.h"

namespace yolodist::model {

Model::Model(model_spec::ModelSpec the_spec, at::ScalarType dtype, std::optional<at::ScalarType> compute)
    : spec(std::move(the_spec)),
      state(spec.entries(), dtype),
      batch_norms(spec.entries()),
      dtype_(dtype),
      compute_(compute.value_or(dtype)) {
  for (int level = 0; level < spec.level_count(); ++level) {
    detect_convs.push_back(cat("model.", spec.layers.back().index, ".m.", level));
  }
}

Model::Model(const Model& like, StateDict the_state)
    : spec(like.spec),
      state(std::move(the_state)),
      batch_norms(like.batch_norms),
      detect_convs(like.detect_convs),
      dtype_(like.dtype_),
      compute_(like.compute_) {}

void Model::to(at::Device device) {
  for (size_t i = 0; i < state.size(); ++i) {
    const memory::KindScope kind(memory_kind(state.entries()[i]));
    state[i] = state[i].to(device);
  }
}

namespace {

// Which layer takes the output of which: the outputs of a forward are held no longer.
class Outputs {
 public:
  explicit Outputs(const model_spec::ModelSpec& spec, Activation picture)
      : last_reader_(spec.layers.size(), -1) {
    outputs_.resize(spec.layers.size());
    picture_ = std::move(picture);
    for (const auto& layer : spec.layers) {
      for (const int source : layer.from) {
        (source < 0 ? last_reader_of_picture_ : last_reader_.at(static_cast<size_t>(source))) = layer.index;
      }
    }
  }

  std::vector<Activation> take_for(const model_spec::LayerSpec& layer) {
    std::vector<Activation> inputs;
    for (const int source : layer.from) {
      inputs.push_back(source < 0 ? picture_ : outputs_[static_cast<size_t>(source)]);
    }
    for (const int source : layer.from) {
      if (source < 0 && last_reader_of_picture_ == layer.index) {
        picture_ = {};
      } else if (source >= 0 && last_reader_[static_cast<size_t>(source)] == layer.index) {
        outputs_[static_cast<size_t>(source)] = {};
      }
    }
    return inputs;
  }

  void put(int layer, Activation output) {
    if (last_reader_[static_cast<size_t>(layer)] >= 0) {
      outputs_[static_cast<size_t>(layer)] = std::move(output);
    }
  }

 private:
  Activation picture_;
  std::vector<Activation> outputs_;
  std::vector<int> last_reader_;
  int last_reader_of_picture_ = -1;
};

// Which layers' outputs are worth a recipe: those that a layer reads which keeps recipes, or that go there
// through layers which compute nothing.
std::vector<bool> wanted_recipes(const model_spec::ModelSpec& spec, const plan::RecomputePlan& recompute) {
  std::vector<bool> wanted(spec.layers.size(), false);
  for (size_t i = spec.layers.size(); i-- > 0;) {
    const auto& layer = spec.layers[i];
    const bool passes_on = layer.block == "Concat" || layer.block == "Upsample";
    const bool takes = passes_on ? wanted[i] : !recompute.empty() && recompute[i] != plan::Recompute::none;
    for (const int source : layer.from) {
      if (source >= 0 && takes) {
        wanted[static_cast<size_t>(source)] = true;
      }
    }
  }
  return wanted;
}

// Source: ultralytics/yolov5 v7.0 models/yolo.py, Detect: the channels of a level are anchor-major.
at::Tensor detect_level(const Model& model, const Pass& pass, size_t level, Activation x) {
  const at::Tensor y = detect_conv(pass, model.detect_convs[level], std::move(x)).value.to(model.dtype());
  const int64_t anchors = model.spec.anchors_per_level(), outputs = model.spec.outputs_per_anchor();
  return y.view({y.size(0), anchors, outputs, y.size(2), y.size(3)}).permute({0, 1, 3, 4, 2});
}

std::vector<at::Tensor> detect(const Model& model, Pass& pass, const model_spec::LayerSpec& layer,
                               std::vector<Activation> inputs) {
  pass.layer = &layer;
  const memory::LayerScope scope(layer.index, nullptr);
  std::vector<at::Tensor> raw;
  for (size_t level = 0; level < inputs.size(); ++level) {
    raw.push_back(detect_level(model, pass, level, std::move(inputs[level])));
  }
  return raw;
}

}  // namespace

std::vector<at::Tensor> forward(const Model& model, at::Tensor images, BatchNormRecord* record,
                                const plan::RecomputePlan& recompute) {
  const auto& layers = model.spec.layers;
  check(recompute.empty() || recompute.size() == layers.size(), "a recompute plan has a policy a layer");
  Pass pass{.state = &model.state,
            .nonlinearity = ops::nonlinearity_of(model.spec.activation),
            .table = &model.batch_norms,
            .record = record,
            .measures = record != nullptr};
  const std::vector<bool> wants_recipe = wanted_recipes(model.spec, recompute);
  images = images.to(model.compute_dtype()).contiguous(at::MemoryFormat::ChannelsLast);
  Outputs outputs(model.spec, {std::move(images), nullptr});
  for (size_t i = 0; i < layers.size(); ++i) {
    pass.policy = recompute.empty() ? plan::Recompute::none : recompute[i];
    pass.wants_recipe = wants_recipe[i];
    std::vector<Activation> inputs = outputs.take_for(layers[i]);
    if (layers[i].block == "Detect") {
      return detect(model, pass, layers[i], std::move(inputs));
    }
    outputs.put(layers[i].index, run_block(pass, layers[i], std::move(inputs)));
  }
  throw InternalError(cat("model ", model.spec.name, " has no Detect layer"));
}

at::Tensor decode(const Model& model, const std::vector<at::Tensor>& raw) {
  const at::Tensor anchors = model.state.at(cat("model.", model.spec.layers.back().index, ".anchors"));
  int64_t row_count = 0;
  for (const at::Tensor& level : raw) {
    row_count += level.size(1) * level.size(2) * level.size(3);
  }
  // In place, so that the result is the only large tensor beside the raw outputs.
  const int64_t pictures = raw.at(0).size(0), outputs = raw[0].size(4);
  at::Tensor boxes = at::empty({pictures, row_count, outputs}, raw[0].options());
  int64_t first = 0;
  for (size_t level = 0; level < raw.size(); ++level) {
    const int64_t rows = raw[level].size(2), columns = raw[level].size(3);
    const int64_t count = raw[level].size(1) * rows * columns;
    at::Tensor y = boxes.narrow(1, first, count).view(raw[level].sizes());
    first += count;
    at::sigmoid_out(y, raw[level]);
    const double stride = model.spec.strides_px[level];
    const at::Tensor grid_y = at::arange(rows, y.options()).view({rows, 1}).expand({rows, columns});
    const at::Tensor grid_x = at::arange(columns, y.options()).view({1, columns}).expand({rows, columns});
    const at::Tensor grid = at::stack({grid_x, grid_y}, 2).view({1, 1, rows, columns, 2}) - 0.5;
    const at::Tensor anchors_px =
        (anchors.select(0, static_cast<int64_t>(level)) * stride).view({1, anchors.size(1), 1, 1, 2});
    y.narrow(4, 0, 2).mul_(2).add_(grid).mul_(stride);
    at::Tensor wh = y.narrow(4, 2, 2);
    wh.mul_(2);
    wh.mul_(wh).mul_(anchors_px);
  }
  return boxes;
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
