// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/model/fuse.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/sqrt.h>
#include <c10/core/GradMode.h>

#include <set>
#include <string>
#include <vector>

namespace yolodist::model {
namespace {

using model_spec::StateEntry;

// What a fused convolution is made of.
struct Parts {
  at::Tensor weight, scale, mean, beta;  // scale: gamma / sqrt(var + eps), a channel
};

Parts parts_of(const StateDict& state, const std::string& conv) {
  const auto in_double = [&](const std::string& name) { return state.at(conv + name).to(at::kDouble); };
  return {in_double(".conv.weight"),
          in_double(".bn.weight") / at::sqrt(in_double(".bn.running_var") + bn_eps),
          in_double(".bn.running_mean"), in_double(".bn.bias")};
}

// The names of the convolutions with a batch norm of their own: "model.2.cv1".
std::set<std::string> fusible_convs(const model_spec::ModelSpec& spec) {
  std::set<std::string> names;
  for (const auto& layer : spec.layers) {
    for (const auto& conv : layer.convs) {
      if (!conv.bare) {
        names.insert(conv.name);
      }
    }
  }
  return names;
}

// "model.0" of "model.0.conv.weight" and "model.0.bn.bias": the name without its last two parts.
std::string owner_of(const std::string& name) {
  const size_t last = name.rfind('.');
  const size_t before = last == std::string::npos || last == 0 ? last : name.rfind('.', last - 1);
  return before == std::string::npos ? "" : name.substr(0, before);
}

}  // namespace

Model fused(const Model& model) {
  const c10::NoGradGuard no_grad;
  const std::set<std::string> convs = fusible_convs(model.spec);
  std::vector<StateEntry> entries;
  for (const StateEntry& entry : model.state.entries()) {
    const bool is_fused = convs.contains(owner_of(entry.name));
    if (is_fused && entry.role == StateEntry::Role::conv_weight) {
      const std::string conv = owner_of(entry.name);
      entries.push_back(entry);
      entries.push_back({conv + ".conv.bias", StateEntry::Role::conv_bias, {entry.shape.at(0)}});
    } else if (!is_fused || !entry.name.starts_with(owner_of(entry.name) + ".bn.")) {
      entries.push_back(entry);
    }
  }
  StateDict state(entries, model.dtype());
  for (size_t i = 0; i < entries.size(); ++i) {
    const std::string& name = entries[i].name;
    const std::string conv = owner_of(name);
    if (!convs.contains(conv)) {
      state[i] = model.state.at(name).detach().clone();
      continue;
    }
    const Parts parts = parts_of(model.state, conv);
    const at::Tensor value = entries[i].role == StateEntry::Role::conv_weight
                                 ? parts.weight * parts.scale.view({-1, 1, 1, 1})
                                 : parts.beta - parts.mean * parts.scale;
    state[i] = value.to(model.dtype()).contiguous();
  }
  return {model, std::move(state)};
}

}  // namespace yolodist::model
