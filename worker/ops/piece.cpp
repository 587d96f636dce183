// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/ops/piece.h"

#include <ATen/ops/_to_copy.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/convolution_backward.h>
#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>

#include <array>
#include <memory>
#include <utility>
#include <vector>

#include "common/base/error.h"
#include "worker/libtorch/autograd.h"
#include "worker/memory/mark.h"

namespace yolodist::ops {
namespace {

using torch::autograd::variable_list;

constexpr auto channels_last = at::MemoryFormat::ChannelsLast;

at::Tensor in_dtype(const at::Tensor& tensor, at::ScalarType dtype) {
  if (!tensor.defined() || tensor.scalar_type() == dtype) {
    return tensor;
  }
  // The layout that convolutions of channels_last pictures take, so that they need no further copy.
  const auto format = tensor.dim() == 4 ? channels_last : at::MemoryFormat::Contiguous;
  return at::_to_copy(tensor, tensor.options().dtype(dtype), /*non_blocking=*/false, format);
}

// What a convolution of x is computed in. LibTorch's fp16 convolutions on processors take some fifty times as
// long as those in fp32; so these are computed in fp32 there and rounded, as tensor cores add in fp32, too.
at::ScalarType arithmetic_of(const at::Tensor& x) {
  return x.is_cpu() && x.scalar_type() == at::kHalf ? at::kFloat : x.scalar_type();
}

// nonlinearity(batch norm(y)).
class NormaliseAgain : public Recipe {
 public:
  NormaliseAgain(at::Tensor y, BatchNorm norm, Statistics statistics, Nonlinearity nonlinearity)
      : y_(std::move(y)),
        norm_(std::move(norm)),
        statistics_(std::move(statistics)),
        nonlinearity_(nonlinearity) {}
  at::Tensor rebuild() const override {
    return apply_in_place(nonlinearity_, normalised(y_, norm_, statistics_));
  }

 private:
  at::Tensor y_;
  BatchNorm norm_;
  Statistics statistics_;
  Nonlinearity nonlinearity_;
};

class PieceNode : public torch::autograd::Node {
 public:
  // The places of the gradients that it gives.
  enum Edge : size_t { to_x, to_weight, to_bias, to_norm_weight, to_norm_bias, edge_count };

  PieceNode(const Piece& piece, torch::autograd::edge_list&& edges)
      : Node(std::move(edges)), nonlinearity_(piece.nonlinearity), layer_(piece.layer), piece_(piece.name) {
    if (piece.convolution) {
      convolution_ = piece.convolution;
      weight_dtype_ = piece.convolution->weight.scalar_type();
    }
    if (piece.batch_norm) {
      norm_ = piece.batch_norm;
      norm_->batch_mean = norm_->batch_variance = at::Tensor();
    }
  }

  void keep_input(const Activation& x, bool as_recipe) {
    input_sizes_ = x.value.sizes().vec();
    if (should_compute_output(to_weight)) {
      input_ = as_recipe && x.from ? Activation{{}, x.from} : Activation{x.value.detach(), nullptr};
    }
  }
  void keep_weight(const at::Tensor& weight) { convolution_->weight = weight.detach(); }
  void keep_convolved(const at::Tensor& y, const Statistics& statistics) {
    y_ = y.detach();
    statistics_ = statistics;
  }
  void keep_normalised(const at::Tensor& u) { u_ = u.detach(); }
  const std::optional<BatchNorm>& norm() const { return norm_; }

  void release_variables() override {
    const std::lock_guard lock(mutex_);
    release();
  }

 protected:
  variable_list apply(variable_list&& gradients) override {
    const std::lock_guard lock(mutex_);
    check(!is_released_, "a piece's backward runs once");
    at::Tensor gradient = std::move(gradients.at(0));
    variable_list results(edge_count);
    if (gradient.defined()) {
      const memory::PhaseScope phase(memory::Phase::backward);
      memory::LayerScope layer(layer_, piece_, shape_of(gradient.sizes()));
      gradient = through_nonlinearity(std::move(gradient));
      if (norm_) {
        gradient = through_norm(std::move(gradient), results);
      }
      if (convolution_) {
        through_convolution(std::move(gradient), results);
      } else {
        results[to_x] = std::move(gradient);
      }
    }
    release();
    return results;
  }

 private:
  static std::array<int64_t, 4> shape_of(at::IntArrayRef sizes) {
    return {sizes[0], sizes[1], sizes[2], sizes[3]};
  }

  bool needs(Edge edge) { return task_should_compute_output(edge); }
  bool needs_convolution() { return needs(to_x) || needs(to_weight) || needs(to_bias); }

  at::Tensor through_nonlinearity(at::Tensor gradient) {
    if (nonlinearity_.is_identity()) {
      return gradient;
    }
    at::Tensor u = u_.defined() ? std::move(u_) : normalised(y_, *norm_, statistics_);
    u_.reset();
    return backward(nonlinearity_, gradient, std::move(u));
  }

  at::Tensor through_norm(at::Tensor gradient, variable_list& results) {
    // Without a nonlinearity it is the gradient that came in, which others may hold too.
    const bool is_own = !nonlinearity_.is_identity();
    gradient = gradient.contiguous(channels_last);
    NormGradients found = normalise_backward(
        gradient, is_own, y_, *norm_, statistics_,
        {.x = needs_convolution(), .weight = needs(to_norm_weight), .bias = needs(to_norm_bias)});
    y_.reset();
    results[to_norm_weight] = std::move(found.weight);
    results[to_norm_bias] = std::move(found.bias);
    return std::move(found.x);
  }

  void through_convolution(at::Tensor gradient, variable_list& results) {
    if (!needs_convolution()) {
      return;
    }
    gradient = gradient.contiguous(channels_last);
    const at::Tensor x = take_input(gradient.options());
    const Convolution& c = *convolution_;
    const at::IntArrayRef bias_sizes(c.weight.sizes().data(), 1);
    const at::ScalarType arithmetic = arithmetic_of(gradient);
    auto [dx, dweight, dbias] = at::convolution_backward(
        in_dtype(gradient, arithmetic), in_dtype(x, arithmetic), in_dtype(c.weight, arithmetic),
        needs(to_bias) ? at::OptionalIntArrayRef(bias_sizes) : at::OptionalIntArrayRef(),
        {c.stride, c.stride}, {c.padding, c.padding}, {c.dilation, c.dilation}, /*transposed=*/false,
        /*output_padding=*/{0, 0}, c.groups, {needs(to_x), needs(to_weight), needs(to_bias)});
    const at::ScalarType dtype = gradient.scalar_type();
    results[to_x] = in_dtype(dx, dtype);
    results[to_weight] = in_dtype(in_dtype(dweight, dtype), weight_dtype_);
    results[to_bias] = in_dtype(in_dtype(dbias, dtype), weight_dtype_);
  }

  // The convolution's input; where only its sizes matter (a frozen weight), memory that nobody has written.
  at::Tensor take_input(const at::TensorOptions& options) {
    if (!needs(to_weight)) {
      return at::empty(input_sizes_, options.memory_format(channels_last));
    }
    const Activation input = std::exchange(input_, {});
    return input.from ? input.from->rebuild() : input.value;
  }

  void release() {
    is_released_ = true;
    input_ = {};
    y_.reset();
    u_.reset();
    statistics_ = {};
    convolution_.reset();
    norm_.reset();
  }

  Nonlinearity nonlinearity_;
  int layer_;
  const std::string* piece_;
  std::optional<Convolution> convolution_;  // its weight in the dtype of x
  at::ScalarType weight_dtype_ = at::kFloat;
  std::optional<BatchNorm> norm_;
  Statistics statistics_;
  std::vector<int64_t> input_sizes_;
  Activation input_;  // either a value or a recipe
  at::Tensor y_, u_;
  bool is_released_ = false;
};

// Null when no gradient is to be recorded.
std::shared_ptr<PieceNode> node_for(const at::Tensor& x, const Piece& piece) {
  const at::Tensor none;
  const at::Tensor& weight = piece.convolution ? piece.convolution->weight : none;
  const at::Tensor& bias = piece.convolution ? piece.convolution->bias : none;
  const at::Tensor& norm_weight = piece.batch_norm ? piece.batch_norm->weight : none;
  const at::Tensor& norm_bias = piece.batch_norm ? piece.batch_norm->bias : none;
  if (!torch::autograd::compute_requires_grad(x, weight, bias, norm_weight, norm_bias)) {
    return nullptr;
  }
  return {new PieceNode(piece, torch::autograd::collect_next_edges(x, weight, bias, norm_weight, norm_bias)),
          torch::autograd::deleteNode};
}

std::array<int64_t, 4> output_shape(const at::Tensor& x, const std::optional<Convolution>& convolution) {
  if (!convolution) {
    return {x.size(0), x.size(1), x.size(2), x.size(3)};
  }
  const Convolution& c = *convolution;
  const auto side = [&](int64_t dim) {
    return (x.size(dim) + 2 * c.padding - c.dilation * (c.weight.size(dim) - 1) - 1) / c.stride + 1;
  };
  return {x.size(0), c.weight.size(0), side(2), side(3)};
}

// The convolution's output; x goes with it unless the node or somebody else keeps it.
at::Tensor convolved(Activation x, const Convolution& c, PieceNode* node, bool as_recipe) {
  x.value = x.value.contiguous(channels_last);
  const at::ScalarType dtype = x.value.scalar_type();
  const at::Tensor weight = in_dtype(c.weight, dtype);
  if (node != nullptr) {
    node->keep_input(x, as_recipe);
    node->keep_weight(weight);
  }
  const at::ScalarType arithmetic = arithmetic_of(x.value);
  return in_dtype(
      at::conv2d(in_dtype(x.value, arithmetic), in_dtype(weight, arithmetic),
                 in_dtype(in_dtype(c.bias, dtype), arithmetic), c.stride, c.padding, c.dilation, c.groups),
      dtype);
}

}  // namespace

Activation run(Activation x, const Piece& piece, plan::Recompute policy) {
  check(piece.convolution || piece.batch_norm, "a piece has a convolution or a batch norm");
  const memory::LayerScope scope(piece.layer, piece.name, output_shape(x.value, piece.convolution));
  const std::shared_ptr<PieceNode> node = node_for(x.value, piece);
  const bool computes_again = policy != plan::Recompute::none;
  Activation result;
  {
    const c10::NoGradGuard no_grad;
    at::Tensor value = piece.convolution
                           ? convolved(std::move(x), *piece.convolution, node.get(), computes_again)
                           : std::exchange(x, {}).value;
    bool keeps_u = node != nullptr && !piece.nonlinearity.is_identity();
    if (piece.batch_norm) {
      value = value.contiguous(channels_last);
      const Statistics statistics = statistics_of(value, *piece.batch_norm);
      if (node) {
        node->keep_convolved(value, statistics);
        result.from = std::make_shared<const NormaliseAgain>(value.detach(), *node->norm(), statistics,
                                                             piece.nonlinearity);
        keeps_u = keeps_u && !computes_again;
      }
      value = normalised(value, *piece.batch_norm, statistics);
    }
    if (keeps_u) {
      node->keep_normalised(value);
    }
    result.value =
        keeps_u ? apply(piece.nonlinearity, value) : apply_in_place(piece.nonlinearity, std::move(value));
  }
  if (node) {
    torch::autograd::set_history(result.value, node);
  }
  return result;
}

}  // namespace yolodist::ops
