// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/model/summary.h"

#include "common/base/text.h"

namespace yolodist::model {

std::string summary(const Model& model) {
  std::string text =
      printf_string("%3s%18s%3s%10s  %-40s%-30s\n", "", "from", "n", "params", "module", "arguments");
  for (const auto& layer : model.spec.layers) {
    text += printf_string("%3d%18s%3d%10lld  %-40s%-30s\n", layer.index, layer.from_text.c_str(),
                          layer.repeats, static_cast<long long>(layer.parameter_count()), layer.block.c_str(),
                          layer.args_text.c_str());
  }
  return text + cat(model.spec.name, " summary: ", model.spec.layers.size(), " layers, ",
                    model.spec.parameter_count(), " parameters, ", model.state.size(),
                    " state entries, strides up to ", model.spec.max_stride_px());
}

}  // namespace yolodist::model
