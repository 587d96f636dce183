// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/ops/block.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>
#include <c10/util/Exception.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <functional>

#include "common/base/error.h"
#include "tests/unit/worker/ops/tensors.h"
#include "worker/memory/budget.h"
#include "worker/ops/piece.h"

namespace yolodist::ops {
namespace {

using plan::Recompute;
using test::expect_same_bits;
using test::random_map;
using test::random_tensor;

class Hook : public torch::autograd::PostAccumulateGradHook {
 public:
  explicit Hook(std::function<void()> call) : call_(std::move(call)) {}
  void operator()(const torch::autograd::Variable&) override { call_(); }

 private:
  std::function<void()> call_;
};

// Two convolutions with batch norm and a shortcut around them; gradients are views of one flat tensor, and a
// hook counts how often each was accumulated.
class Residual {
 public:
  explicit Residual(at::ScalarType dtype = at::kFloat) {
    const at::ScalarType type = (dtype == at::kBFloat16 || dtype == at::kHalf) ? at::kFloat : dtype;
    for (uint32_t i = 0; i < 2; ++i) {
      Piece& piece = pieces_[i];
      piece.convolution.emplace();
      piece.convolution->weight = random_tensor(10 * i + 1, {6, 6, 3, 3}, type);
      piece.convolution->padding = 1;
      piece.batch_norm.emplace();
      piece.batch_norm->weight = random_tensor(10 * i + 2, {6}, type, 0.5, 2);
      piece.batch_norm->bias = random_tensor(10 * i + 3, {6}, type);
      piece.batch_norm->measures = true;
      piece.nonlinearity = {Nonlinearity::Kind::silu};
      for (const at::Tensor& parameter :
           {piece.convolution->weight, piece.batch_norm->weight, piece.batch_norm->bias}) {
        parameters.push_back(parameter);
      }
    }
    int64_t count = 0;
    for (const at::Tensor& parameter : parameters) {
      parameter.requires_grad_(true);
      count += parameter.numel();
    }
    flat = at::zeros({count}, type);
    times.assign(parameters.size(), 0);
    int64_t offset = 0;
    for (size_t i = 0; i < parameters.size(); ++i) {
      parameters[i].mutable_grad() =
          flat.narrow(0, offset, parameters[i].numel()).view(parameters[i].sizes());
      offset += parameters[i].numel();
      torch::autograd::impl::set_post_acc_grad_hooks(parameters[i],
                                                     std::make_unique<Hook>([this, i] { ++times[i]; }));
    }
  }

  at::Tensor operator()(Activation x) const {
    ++runs;
    const at::Tensor straight = x.value;
    return straight + run(run(std::move(x), pieces_[0], Recompute::none), pieces_[1], Recompute::none).value;
  }

  Block block(bool trains = true) const {
    const auto forward = [this](Activation x) { return (*this)(std::move(x)); };
    return {.forward = forward, .again = forward, .has_trained_parameters = trains, .layer = 3};
  }

  std::vector<at::Tensor> parameters;
  at::Tensor flat;  // all gradients
  std::vector<int> times;
  mutable int runs = 0;

 private:
  Piece pieces_[2];
};

at::Tensor input(at::ScalarType dtype) {
  return random_map(1, {2, 6, 9, 7}, dtype).requires_grad_(true);
}

class Blocks : public ::testing::TestWithParam<at::ScalarType> {
 protected:
  void SetUp() override { at::set_num_threads(1); }
};

TEST_P(Blocks, ComputeTheSameAgain) {
  const Residual plain(GetParam()), again(GetParam());
  const at::Tensor x = input(GetParam()), gradient = random_map(2, {2, 6, 9, 7}, GetParam());
  const at::Tensor expected = plain({x, nullptr});
  expected.backward(gradient);
  const at::Tensor expected_gradient = x.grad();
  x.mutable_grad().reset();
  const at::Tensor found = run_and_run_again({x, nullptr}, again.block());
  EXPECT_EQ(again.runs, 1);
  found.backward(gradient);
  EXPECT_EQ(again.runs, 2);
  expect_same_bits(found, expected, "output");
  expect_same_bits(x.grad(), expected_gradient, "gradient of x");
  expect_same_bits(again.flat, plain.flat, "gradients of the parameters");
  EXPECT_NE(again.flat.abs().sum().item<double>(), 0);
}

INSTANTIATE_TEST_SUITE_P(Dtypes, Blocks, ::testing::Values(at::kFloat, at::kDouble, at::kHalf, at::kBFloat16),
                         [](const auto& test) { return std::string(c10::toString(test.param)); });

// The gradients stay views of the bucket, add up, and tell the hook once each: what the reducer lives by.
TEST(Block, AccumulatesInPlaceAndTellsEachHookOnce) {
  const Residual residual;
  const at::Tensor gradient = random_map(2, {2, 6, 9, 7}, at::kFloat);
  run_and_run_again({input(at::kFloat), nullptr}, residual.block()).backward(gradient);
  const at::Tensor once = residual.flat.clone();
  for (size_t i = 0; i < residual.parameters.size(); ++i) {
    EXPECT_EQ(residual.times[i], 1) << "parameter " << i;
    EXPECT_EQ(residual.parameters[i].grad().storage().data(), residual.flat.storage().data());
  }
  run_and_run_again({input(at::kFloat), nullptr}, residual.block()).backward(gradient);
  expect_same_bits(residual.flat, once * 2, "after two micro-batches");
  EXPECT_EQ(residual.times[0], 2);
}

TEST(Block, WithoutAGradientOfItsInputTrainsItsParameters) {
  const Residual residual;
  const at::Tensor x = input(at::kFloat).detach();
  const at::Tensor output = run_and_run_again({x, nullptr}, residual.block());
  ASSERT_TRUE(output.requires_grad());
  output.backward(random_map(2, {2, 6, 9, 7}, at::kFloat));
  EXPECT_EQ(residual.times, std::vector<int>(6, 1));
}

TEST(Block, WithFrozenParametersPassesTheGradientOn) {
  const Residual residual;
  for (const at::Tensor& parameter : residual.parameters) {
    parameter.requires_grad_(false);
  }
  const at::Tensor x = input(at::kFloat);
  run_and_run_again({x, nullptr}, residual.block(/*trains=*/false))
      .backward(random_map(2, {2, 6, 9, 7}, at::kFloat));
  EXPECT_TRUE(x.grad().defined());
  EXPECT_EQ(residual.times, std::vector<int>(6, 0));
}

TEST(Block, WithNothingToTrainRunsOnceAndKeepsNothing) {
  const Residual residual;
  EXPECT_FALSE(run_and_run_again({input(at::kFloat).detach(), nullptr}, residual.block(/*trains=*/false))
                   .requires_grad());
  const c10::NoGradGuard no_grad;
  EXPECT_FALSE(run_and_run_again({input(at::kFloat), nullptr}, residual.block()).requires_grad());
}

// Several blocks in a row: backward enters backward one at a time, never one inside of the other.
TEST(Block, StandsInLongRows) {
  const Residual residual;
  const at::Tensor x = input(at::kFloat);
  Activation deep{x, nullptr};
  for (int i = 0; i < 100; ++i) {
    deep = {run_and_run_again(std::move(deep), residual.block()), nullptr};
  }
  deep.value.backward(random_map(2, {2, 6, 9, 7}, at::kFloat, -1e-3, 1e-3));
  EXPECT_EQ(residual.times, std::vector<int>(6, 100));
  EXPECT_TRUE(x.grad().defined());
}

TEST(Block, KeepsItsInputOnlyAndNothingAfterBackward) {
  memory::install_counting_allocator();
  const Residual residual;
  const int64_t map = memory::rounded(2 * 6 * 9 * 7 * 4);
  const int64_t before = memory::counters().current_bytes;
  at::Tensor output;
  {
    const at::Tensor x = input(at::kFloat) * 1;
    output = run_and_run_again({x, nullptr}, residual.block());
  }
  // The leaf, x and the output. (The leaf stays for its gradient.)
  EXPECT_EQ(memory::counters().current_bytes - before, 3 * map);
  const at::Tensor gradient = random_map(2, {2, 6, 9, 7}, at::kFloat);
  output.backward(gradient, /*retain_graph=*/true);
  // The leaf and its gradient, the output and `gradient`.
  EXPECT_EQ(memory::counters().current_bytes - before, 4 * map);
  EXPECT_THROW(output.backward(gradient), InternalError);
}

// Out of memory in the middle of the second run comes out as itself, and the next backward works.
TEST(Block, LetsOutOfMemoryThrough) {
  memory::install_counting_allocator();
  const Residual residual;
  const at::Tensor gradient = random_map(2, {2, 6, 9, 7}, at::kFloat);
  const int64_t map = memory::rounded(2 * 6 * 9 * 7 * 4);
  {
    const at::Tensor output = run_and_run_again({input(at::kFloat), nullptr}, residual.block());
    memory::set_budget(memory::counters().current_bytes + 4 * map);
    EXPECT_THROW(output.backward(gradient), c10::OutOfMemoryError);
    memory::set_budget(0);
    const auto shortage = memory::take_shortage();
    ASSERT_TRUE(shortage);
    EXPECT_EQ(shortage->mark.phase, memory::Phase::backward);
  }
  const at::Tensor x = input(at::kFloat);
  run_and_run_again({x, nullptr}, residual.block()).backward(gradient);
  EXPECT_TRUE(x.grad().defined());
}

}  // namespace
}  // namespace yolodist::ops
