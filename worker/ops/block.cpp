// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/ops/block.h"

#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>

#include <memory>
#include <utility>

#include "common/base/error.h"
#include "worker/libtorch/autograd.h"
#include "worker/memory/mark.h"

namespace yolodist::ops {
namespace {

using torch::autograd::Edge;
using torch::autograd::edge_list;
using torch::autograd::Node;
using torch::autograd::variable_list;

// The start of a nested backward. It hands a gradient on and lets go of it, which a list of root gradients
// would hold to the end.
class GradientSource : public Node {
 public:
  GradientSource(at::Tensor gradient, Edge to)
      : Node(edge_list{std::move(to)}), gradient_(std::move(gradient)) {}

 protected:
  variable_list apply(variable_list&&) override {
    variable_list result(1);
    result[0] = std::move(gradient_);
    return result;
  }

 private:
  at::Tensor gradient_;
};

// The end of a nested backward: takes the gradient of the block's input. A leaf would keep the input alive.
class GradientSink : public Node {
 public:
  at::Tensor take() { return std::move(gradient_); }

 protected:
  variable_list apply(variable_list&& gradients) override {
    gradient_ = std::move(gradients.at(0));
    return {};
  }

 private:
  at::Tensor gradient_;
};

template <typename T, typename... Arguments>
std::shared_ptr<T> make_node(Arguments&&... arguments) {
  return {new T(std::forward<Arguments>(arguments)...), torch::autograd::deleteNode};
}

class BlockNode : public Node {
 public:
  BlockNode(Activation input, std::function<at::Tensor(Activation)> again, int layer, edge_list&& edges)
      : Node(std::move(edges)), input_(std::move(input)), again_(std::move(again)), layer_(layer) {}

  void release_variables() override {
    input_ = {};
    again_ = nullptr;
  }

 protected:
  variable_list apply(variable_list&& gradients) override {
    check(again_ != nullptr, "a block's backward runs once");
    at::Tensor gradient = std::move(gradients.at(0));
    const auto again = std::exchange(again_, nullptr);
    variable_list results(1);
    if (!gradient.defined()) {
      release_variables();
      return results;
    }
    const memory::PhaseScope phase(memory::Phase::backward);
    const auto sizes = gradient.sizes();
    const memory::LayerScope layer(layer_, nullptr, {sizes[0], sizes[1], sizes[2], sizes[3]});
    const auto sink = task_should_compute_output(0) ? make_node<GradientSink>() : nullptr;
    const auto source = make_node<GradientSource>(gradient, run_again(again, sink));
    const at::Tensor spark = at::empty({0}, gradient.options());
    source->add_input_metadata(spark);
    gradient.reset();
    torch::autograd::Engine::get_default_engine().execute({Edge(source, 0)}, {spark}, /*keep_graph=*/false,
                                                          /*create_graph=*/false, /*accumulate_grad=*/true);
    if (sink) {
      results[0] = sink->take();
    }
    return results;
  }

 private:
  // The graph of the second run, by its output's edge. Holds neither the input nor the output itself.
  Edge run_again(const std::function<at::Tensor(Activation)>& again,
                 const std::shared_ptr<GradientSink>& sink) {
    Activation x = std::exchange(input_, {});
    if (x.from) {
      x = {x.from->rebuild(), nullptr};
    }
    if (sink) {
      torch::autograd::set_history(x.value, sink);
    }
    const at::AutoGradMode recording(true);
    const at::Tensor output = again(std::move(x));
    return torch::autograd::impl::gradient_edge(output);
  }

  Activation input_;  // either a value or a recipe
  std::function<at::Tensor(Activation)> again_;
  int layer_;
};

}  // namespace

at::Tensor run_and_run_again(Activation x, Block block) {
  const bool has_gradient =
      at::GradMode::is_enabled() && (block.has_trained_parameters || x.value.requires_grad());
  std::shared_ptr<BlockNode> node;
  if (has_gradient) {
    Activation kept = x.from ? Activation{{}, x.from} : Activation{x.value.detach(), nullptr};
    node = make_node<BlockNode>(std::move(kept), std::move(block.again), block.layer,
                                torch::autograd::collect_next_edges(x.value));
  }
  at::Tensor output;
  {
    const c10::NoGradGuard no_grad;
    output = block.forward(std::move(x));
  }
  if (node) {
    torch::autograd::set_history(output, node);
  }
  return output;
}

}  // namespace yolodist::ops
