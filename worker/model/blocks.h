// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "common/model_spec/model_spec.h"
#include "common/plan/recompute.h"
#include "worker/model/batch_norm.h"
#include "worker/model/state_dict.h"
#include "worker/ops/activation.h"
#include "worker/ops/nonlinearity.h"

namespace yolodist::model {

using ops::Activation;

// One forward pass: whose tensors, which statistics normalise, what is kept for backward. What it points to
// lives until after backward.
struct Pass {
  const StateDict* state = nullptr;
  ops::Nonlinearity nonlinearity;         // ModelSpec::activation
  const BatchNormTable* table = nullptr;  // whose places the record has
  BatchNormRecord* record = nullptr;      // where the batch's statistics go; null: nowhere
  bool measures = false;                  // normalise by the batch's statistics; else by the running ones
  plan::Recompute policy = plan::Recompute::none;  // of the layer that runs
  bool wants_recipe = false;                       // a later layer takes this one's output as a recipe
  const model_spec::LayerSpec* layer = nullptr;    // that runs
};

// Runs one layer of the table on its sources' outputs (Detect excepted), which it lets go of as it uses them.
Activation run_block(Pass& pass, const model_spec::LayerSpec& layer, std::vector<Activation> inputs);

// Whether Recompute::block computes the whole layer again from its input; the others, which are one
// convolution or none, treat it as Recompute::activations.
bool recomputes_whole(const model_spec::LayerSpec& layer);

// The name of each convolution and batch norm is its name in the state dict: "model.2.cv1", "model.2.bn".
//
// YOLOv5's Conv: convolution without bias, batch norm, activation; fused, convolution with bias, activation.
Activation conv(const Pass& pass, const std::string& name, Activation x);
// A convolution alone.
Activation bare_conv(const Pass& pass, const std::string& name, Activation x);
// Batch norm and SiLU alone.
Activation batch_norm_and_silu(const Pass& pass, const std::string& name, Activation x);
// The same convolution for Detect, which has a bias. `name` lives until after backward.
Activation detect_conv(const Pass& pass, const std::string& name, Activation x);
// The entry of the layer table.
const model_spec::ConvSpec& conv_spec(const Pass& pass, const std::string& name);

}  // namespace yolodist::model
