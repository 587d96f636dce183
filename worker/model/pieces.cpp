// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "common/base/error.h"
#include "common/base/text.h"
#include "worker/model/blocks.h"
#include "worker/ops/piece.h"

namespace yolodist::model {
namespace {

using model_spec::ConvSpec;

at::Tensor optional_entry(const Pass& pass, const std::string& name) {
  return pass.state->contains(name) ? pass.state->at(name) : at::Tensor();
}

ops::Piece empty_piece(const Pass& pass, const std::string* name) {
  ops::Piece piece;
  piece.layer = pass.layer->index;
  piece.name = name;
  return piece;
}

ops::Convolution convolution(const Pass& pass, const ConvSpec& spec, const std::string& stem) {
  return {.weight = pass.state->at(stem + ".weight"),
          .bias = optional_entry(pass, stem + ".bias"),
          .stride = spec.stride,
          .padding = spec.padding,
          .dilation = spec.dilation,
          .groups = spec.groups};
}

// The running statistics are left alone in any case: they move once an iteration, for all groups of all
// ranks.
ops::BatchNorm batch_norm(const Pass& pass, const std::string& name, int64_t value_count) {
  ops::BatchNorm norm{.weight = pass.state->at(name + ".weight"),
                      .bias = pass.state->at(name + ".bias"),
                      .running_mean = pass.state->at(name + ".running_mean"),
                      .running_variance = pass.state->at(name + ".running_var"),
                      .measures = pass.measures,
                      .batch_mean = {},
                      .batch_variance = {},
                      .eps = bn_eps};
  if (pass.measures && pass.record != nullptr) {
    const auto& place = pass.table->places.at(name);
    pass.record->value_count[static_cast<size_t>(place.index)] = value_count;
    norm.batch_mean = pass.record->mean.narrow(0, place.offset, place.channels);
    norm.batch_variance = pass.record->variance.narrow(0, place.offset, place.channels);
  }
  return norm;
}

// Values a channel of a convolution's output.
int64_t output_values(const ConvSpec& spec, const at::Tensor& x) {
  const auto side = [&](int64_t dim) {
    return (x.size(dim) + 2 * spec.padding - spec.dilation * (spec.kernel - 1) - 1) / spec.stride + 1;
  };
  return x.size(0) * side(2) * side(3);
}

}  // namespace

const ConvSpec& conv_spec(const Pass& pass, const std::string& name) {
  const auto& convs = pass.layer->convs;
  const auto found =
      std::find_if(convs.begin(), convs.end(), [&](const ConvSpec& conv) { return conv.name == name; });
  check(found != convs.end(), cat("the layer table has the convolution ", name));
  return *found;
}

Activation conv(const Pass& pass, const std::string& name, Activation x) {
  const ConvSpec& spec = conv_spec(pass, name);
  ops::Piece piece = empty_piece(pass, &spec.name);
  piece.convolution = convolution(pass, spec, name + ".conv");
  if (pass.state->contains(name + ".bn.weight")) {
    piece.batch_norm = batch_norm(pass, name + ".bn", output_values(spec, x.value));
  }
  if (spec.activated) {
    piece.nonlinearity = pass.nonlinearity;
  }
  return ops::run(std::move(x), piece, pass.policy);
}

Activation bare_conv(const Pass& pass, const std::string& name, Activation x) {
  const ConvSpec& spec = conv_spec(pass, name);
  ops::Piece piece = empty_piece(pass, &spec.name);
  piece.convolution = convolution(pass, spec, name);
  return ops::run(std::move(x), piece, pass.policy);
}

Activation batch_norm_and_silu(const Pass& pass, const std::string& name, Activation x) {
  const auto place = pass.table->places.find(name);
  check(place != pass.table->places.end(), cat("the model has the batch norm ", name));
  ops::Piece piece = empty_piece(pass, &pass.table->names[static_cast<size_t>(place->second.index)]);
  piece.batch_norm = batch_norm(pass, name, x.value.size(0) * x.value.size(2) * x.value.size(3));
  piece.nonlinearity = {ops::Nonlinearity::Kind::silu};
  return ops::run(std::move(x), piece, pass.policy);
}

Activation detect_conv(const Pass& pass, const std::string& name, Activation x) {
  ops::Piece piece = empty_piece(pass, &name);
  piece.convolution = convolution(pass, ConvSpec{}, name);
  return ops::run(std::move(x), piece, pass.policy);
}

}  // namespace yolodist::model
