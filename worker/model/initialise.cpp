// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/model/initialise.h"

#include <ATen/ops/tensor.h>

#include <cmath>

#include "common/base/philox.h"
#include "common/base/text.h"

namespace yolodist::model {
namespace {

using Role = model_spec::StateEntry::Role;

template <typename Fill>
void fill_from_doubles(at::Tensor& tensor, Fill next) {
  std::vector<double> values(static_cast<size_t>(tensor.numel()));
  for (double& value : values) {
    value = next();
  }
  tensor.copy_(at::tensor(values, at::kDouble).view(tensor.sizes()));
}

void fill_uniform(at::Tensor& tensor, double bound, uint64_t seed, size_t entry) {
  Draws64 draws(seed, RandomStream::weights, static_cast<uint32_t>(entry));
  // In fp32 steps whatever the precision, so that an fp64 run starts from the very weights of an fp32 run.
  fill_from_doubles(tensor,
                    [&] { return static_cast<double>(static_cast<float>(draws.uniform(-bound, bound))); });
}

// Prior of the objectness and class logits of one level. Added in fp32 whatever the precision, as above.
void add_detect_prior(at::Tensor& bias, const model_spec::ModelSpec& spec, int stride_px) {
  constexpr double reference_side_px = 640, objects_a_picture = 8;
  const double cells_a_side = reference_side_px / stride_px;
  const double object_prior = std::log(objects_a_picture / (cells_a_side * cells_a_side));
  const double class_prior = std::log(0.6 / (spec.class_count - 0.99999));
  at::Tensor values = bias.to(at::kFloat).view({spec.anchors_per_level(), spec.outputs_per_anchor()});
  values.select(1, 4).add_(object_prior);
  values.narrow(1, 5, spec.class_count).add_(class_prior);
  bias.copy_(values.view(-1));
}

}  // namespace

void initialise(Model& model, uint64_t seed) {
  const auto& entries = model.state.entries();
  double fan_in_bound = 0;
  size_t detect_level = 0;
  for (size_t i = 0; i < entries.size(); ++i) {
    at::Tensor& tensor = model.state[i];
    switch (entries[i].role) {
      case Role::conv_weight:
        fan_in_bound = 1 / std::sqrt(static_cast<double>(tensor.numel() / tensor.size(0)));
        fill_uniform(tensor, fan_in_bound, seed, i);
        break;
      case Role::conv_bias:  // follows its weight in the state dict
        fill_uniform(tensor, fan_in_bound, seed, i);
        add_detect_prior(tensor, model.spec, model.spec.strides_px.at(detect_level++));
        break;
      case Role::bn_weight:
      case Role::bn_count:
        tensor.fill_(1);
        break;
      case Role::bn_bias:
      case Role::bn_mean:
        tensor.zero_();
        break;
      case Role::bn_var:
        tensor.fill_(static_cast<double>(0.9F));
        break;
      case Role::anchors: {
        std::vector<double> values;
        for (size_t level = 0; level < model.spec.anchors_px.size(); ++level) {
          for (const auto& [w, h] : model.spec.anchors_px[level]) {
            values.push_back(static_cast<float>(w) / static_cast<float>(model.spec.strides_px[level]));
            values.push_back(static_cast<float>(h) / static_cast<float>(model.spec.strides_px[level]));
          }
        }
        tensor.copy_(at::tensor(values, at::kDouble).view(tensor.sizes()));
        break;
      }
    }
  }
}

}  // namespace yolodist::model
