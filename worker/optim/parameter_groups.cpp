// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/optim/parameter_groups.h"

#include "common/base/error.h"
#include "common/base/text.h"

namespace yolodist::optim {

using Role = model_spec::StateEntry::Role;

Group group_of(const model_spec::StateEntry& entry) {
  switch (entry.role) {
    case Role::conv_bias:
    case Role::bn_bias:
      return Group::bias;
    case Role::bn_weight:
      return Group::norm_weight;
    default:
      check(entry.role == Role::conv_weight, cat(entry.name, " is a parameter"));
      return Group::decayed_weight;
  }
}

std::vector<bool> frozen_layers(const std::vector<int>& freeze, size_t layer_count) {
  std::vector<bool> frozen(layer_count, false);
  const auto set = [&](int layer) {
    if (layer < 0 || static_cast<size_t>(layer) >= layer_count) {
      throw UsageError(cat("--freeze: the model has no layer ", layer),
                       cat("It has layers 0 to ", layer_count - 1, "."));
    }
    frozen[static_cast<size_t>(layer)] = true;
  };
  if (freeze.size() == 1) {
    for (int layer = 0; layer < freeze[0]; ++layer) {
      set(layer);
    }
  } else {
    for (const int layer : freeze) {
      set(layer);
    }
  }
  return frozen;
}

int layer_of(const std::string& entry_name) {
  return std::stoi(split(entry_name, '.').at(1));
}

}  // namespace yolodist::optim
