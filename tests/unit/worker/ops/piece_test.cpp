// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/ops/piece.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/batch_norm.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

#include <map>

#include "common/base/error.h"
#include "tests/unit/worker/ops/tensors.h"
#include "worker/memory/budget.h"

namespace yolodist::ops {
namespace {

using plan::Recompute;
using test::expect_close;
using test::expect_same_bits;
using test::random_map;
using test::random_tensor;

constexpr double eps = 1e-3;

// Two pieces in a row, so that the second can take its input by a recipe, and what they are fed with.
struct Chain {
  at::Tensor x;
  Piece first, second;
  std::string what;

  std::vector<at::Tensor> leaves() const {
    std::vector<at::Tensor> all = {x};
    for (const Piece* piece : {&first, &second}) {
      if (piece->convolution) {
        all.push_back(piece->convolution->weight);
        all.push_back(piece->convolution->bias);
      }
      if (piece->batch_norm) {
        all.push_back(piece->batch_norm->weight);
        all.push_back(piece->batch_norm->bias);
      }
    }
    std::erase_if(all, [](const at::Tensor& leaf) { return !leaf.defined(); });
    return all;
  }
};

at::ScalarType parameter_dtype(at::ScalarType dtype) {
  return (dtype == at::kBFloat16 || dtype == at::kHalf) ? at::kFloat : dtype;
}

Convolution convolution(uint32_t seed, int64_t c_in, int64_t c_out, int64_t kernel, at::ScalarType dtype) {
  Convolution c;
  c.weight = random_tensor(seed, {c_out, c_in, kernel, kernel}, parameter_dtype(dtype)).requires_grad_(true);
  c.padding = kernel / 2;
  return c;
}

BatchNorm batch_norm(uint32_t seed, int64_t channels, at::ScalarType dtype) {
  const at::ScalarType type = parameter_dtype(dtype);
  BatchNorm norm;
  norm.weight = random_tensor(seed, {channels}, type, 0.5, 2).requires_grad_(true);
  norm.bias = random_tensor(seed + 1, {channels}, type).requires_grad_(true);
  norm.running_mean = random_tensor(seed + 2, {channels}, type);
  norm.running_variance = random_tensor(seed + 3, {channels}, type, 0.5, 2);
  norm.measures = true;
  norm.eps = eps;
  return norm;
}

Chain plain_chain(at::ScalarType dtype) {
  Chain chain;
  chain.what = "plain";
  chain.x = random_map(1, {2, 4, 12, 10}, dtype).requires_grad_(true);
  chain.first.convolution = convolution(10, 4, 8, 3, dtype);
  chain.first.batch_norm = batch_norm(20, 8, dtype);
  chain.first.nonlinearity = {Nonlinearity::Kind::silu};
  chain.second.convolution = convolution(30, 8, 6, 1, dtype);
  chain.second.batch_norm = batch_norm(40, 6, dtype);
  chain.second.nonlinearity = {Nonlinearity::Kind::silu};
  return chain;
}

std::vector<Chain> chains(at::ScalarType dtype) {
  std::vector<Chain> all = {plain_chain(dtype)};
  const auto add = [&](const std::string& what) -> Chain& {
    all.push_back(plain_chain(dtype));
    all.back().what = what;
    return all.back();
  };
  Chain& strided = add("stride, dilation and groups");
  strided.first.convolution->stride = 2;
  strided.first.convolution->dilation = 2;
  strided.first.convolution->groups = 2;
  strided.first.convolution->weight =
      random_tensor(10, {8, 2, 3, 3}, parameter_dtype(dtype)).requires_grad_(true);
  strided.second.convolution->groups = 2;
  strided.second.convolution->weight =
      random_tensor(30, {6, 4, 1, 1}, parameter_dtype(dtype)).requires_grad_(true);
  Chain& bare = add("a bare convolution with bias behind a piece");
  bare.second.batch_norm.reset();
  bare.second.nonlinearity = {};
  bare.second.convolution->bias = random_tensor(50, {6}, parameter_dtype(dtype)).requires_grad_(true);
  Chain& linear = add("no nonlinearity");
  linear.first.nonlinearity = {};
  linear.second.batch_norm.reset();  // it would take out the first one's shift
  Chain& norm_alone = add("a batch norm alone");
  norm_alone.first.convolution.reset();
  norm_alone.first.batch_norm = batch_norm(20, 4, dtype);
  norm_alone.second.convolution = convolution(30, 4, 6, 1, dtype);
  Chain& fused = add("bias and nonlinearity without batch norm");
  fused.first.batch_norm.reset();
  fused.first.convolution->bias = random_tensor(50, {8}, parameter_dtype(dtype)).requires_grad_(true);
  Chain& running = add("running statistics");
  running.first.batch_norm->measures = false;
  running.second.batch_norm->measures = false;
  Chain& picture = add("no gradient of x");
  picture.x.requires_grad_(false);
  Chain& frozen_weight = add("a frozen weight");
  frozen_weight.second.convolution->weight.requires_grad_(false);
  Chain& frozen_norm = add("a frozen batch norm");
  frozen_norm.first.batch_norm->weight.requires_grad_(false);
  frozen_norm.first.batch_norm->bias.requires_grad_(false);
  Chain& frozen_first = add("a frozen first piece");
  for (const at::Tensor& leaf :
       {frozen_first.x, frozen_first.first.convolution->weight, frozen_first.first.batch_norm->weight,
        frozen_first.first.batch_norm->bias}) {
    leaf.requires_grad_(false);
  }
  Chain& contiguous = add("x in the other memory format");
  contiguous.x = random_tensor(1, {2, 4, 12, 10}, dtype).requires_grad_(true);
  return all;
}

at::Tensor plain(const Piece& piece, at::Tensor x) {
  if (piece.convolution) {
    const Convolution& c = *piece.convolution;
    x = at::conv2d(x, c.weight, c.bias, c.stride, c.padding, c.dilation, c.groups);
  }
  if (piece.batch_norm) {
    const BatchNorm& n = *piece.batch_norm;
    x = at::batch_norm(x, n.weight, n.bias, n.running_mean.clone(), n.running_variance.clone(), n.measures,
                       0.1, n.eps, false);
  }
  return piece.nonlinearity.is_identity() ? x : at::silu(x);
}

struct Outcome {
  at::Tensor output;
  std::vector<at::Tensor> gradients;  // by leaf
};

// Backward from an uneven sum of the output; takes the gradients out of the leaves.
Outcome outcome_of(const Chain& chain, const at::Tensor& output) {
  output.backward(random_map(99, output.sizes().vec(), output.scalar_type()));
  Outcome outcome{output.detach(), {}};
  for (const at::Tensor& leaf : chain.leaves()) {
    outcome.gradients.push_back(leaf.grad());
    leaf.mutable_grad().reset();
  }
  return outcome;
}

Outcome run_chain(const Chain& chain, Recompute first, Recompute second) {
  return outcome_of(chain, run(run({chain.x, nullptr}, chain.first, first), chain.second, second).value);
}

class Pieces : public ::testing::TestWithParam<at::ScalarType> {
 protected:
  void SetUp() override { at::set_num_threads(1); }
};

TEST_P(Pieces, AreEqualToTheBitUnderEveryPolicy) {
  for (const Chain& chain : chains(GetParam())) {
    const Outcome expected = run_chain(chain, Recompute::none, Recompute::none);
    for (const Recompute first : {Recompute::none, Recompute::activations}) {
      const Outcome found = run_chain(chain, first, Recompute::activations);
      expect_same_bits(found.output, expected.output, chain.what);
      for (size_t i = 0; i < found.gradients.size(); ++i) {
        expect_same_bits(found.gradients[i], expected.gradients[i], chain.what);
      }
    }
  }
}

TEST_P(Pieces, GiveGradientsInTheDtypeOfTheParameters) {
  for (const Chain& chain : chains(GetParam())) {
    const std::vector<at::Tensor> leaves = chain.leaves();
    const Outcome outcome = run_chain(chain, Recompute::none, Recompute::activations);
    EXPECT_EQ(outcome.output.scalar_type(), GetParam());
    for (size_t i = 0; i < leaves.size(); ++i) {
      ASSERT_EQ(outcome.gradients[i].defined(), leaves[i].requires_grad()) << chain.what << ", leaf " << i;
      if (leaves[i].requires_grad()) {
        EXPECT_EQ(outcome.gradients[i].scalar_type(), leaves[i].scalar_type()) << chain.what;
      }
    }
  }
}

TEST_P(Pieces, GiveRecipesOfTheirOutputs) {
  for (const Recompute policy : {Recompute::none, Recompute::activations}) {
    const Chain chain = plain_chain(GetParam());
    const Activation z = run({chain.x, nullptr}, chain.first, policy);
    ASSERT_TRUE(z.from);
    expect_same_bits(z.from->rebuild(), z.value, "rebuilt");
  }
}

TEST_P(Pieces, RecordBatchStatistics) {
  Chain chain = plain_chain(GetParam());
  const at::ScalarType type = parameter_dtype(GetParam());
  chain.first.batch_norm->batch_mean = random_tensor(1, {8}, type);
  chain.first.batch_norm->batch_variance = random_tensor(1, {8}, type);
  run({chain.x, nullptr}, chain.first, Recompute::activations);
  const at::Tensor y =
      at::conv2d(chain.x, chain.first.convolution->weight.to(GetParam()), {}, 1, 1).to(at::kDouble);
  const double tolerance = GetParam() == at::kDouble ? 1e-13 : 1e-6;
  expect_close(chain.first.batch_norm->batch_mean, y.mean(at::IntArrayRef{0, 2, 3}), tolerance, "mean");
  expect_close(chain.first.batch_norm->batch_variance, y.var(at::IntArrayRef{0, 2, 3}, true), tolerance,
               "variance");
}

INSTANTIATE_TEST_SUITE_P(Dtypes, Pieces, ::testing::Values(at::kFloat, at::kDouble, at::kHalf, at::kBFloat16),
                         [](const auto& test) { return std::string(c10::toString(test.param)); });

TEST(Piece, IsPlainAutogradInDouble) {
  at::set_num_threads(1);
  for (const Chain& chain : chains(at::kDouble)) {
    const Outcome expected = outcome_of(chain, plain(chain.second, plain(chain.first, chain.x)));
    const Outcome found = run_chain(chain, Recompute::none, Recompute::activations);
    expect_close(found.output, expected.output, 1e-12, chain.what);
    for (size_t i = 0; i < found.gradients.size(); ++i) {
      ASSERT_EQ(found.gradients[i].defined(), expected.gradients[i].defined())
          << chain.what << ", leaf " << i;
      if (expected.gradients[i].defined()) {
        expect_close(found.gradients[i], expected.gradients[i], 1e-10, chain.what);
      }
    }
  }
}

TEST(Piece, InHalfIsCloseToSingle) {
  at::set_num_threads(1);
  const std::vector<Chain> exact = chains(at::kFloat);
  // 8 and 11 bits of mantissa, a few roundings in a row.
  for (const auto& [dtype, tolerance] : {std::pair{at::kBFloat16, 0.02}, {at::kHalf, 0.003}}) {
    const std::vector<Chain> rough = chains(dtype);
    for (size_t k = 0; k < exact.size(); ++k) {
      const Outcome expected = run_chain(exact[k], Recompute::none, Recompute::none);
      const Outcome found = run_chain(rough[k], Recompute::none, Recompute::none);
      expect_close(found.output, expected.output, tolerance, exact[k].what);
      for (size_t i = 0; i < found.gradients.size(); ++i) {
        if (expected.gradients[i].defined()) {
          expect_close(found.gradients[i], expected.gradients[i], 2.5 * tolerance, exact[k].what);
        }
      }
    }
  }
}

TEST(Piece, WithNothingToTrainRecordsNothing) {
  Chain chain = plain_chain(at::kFloat);
  for (const at::Tensor& leaf : chain.leaves()) {
    leaf.requires_grad_(false);
  }
  const Activation frozen = run({chain.x, nullptr}, chain.first, Recompute::activations);
  EXPECT_FALSE(frozen.value.requires_grad());
  EXPECT_FALSE(frozen.from) << "its convolution's output would have to stay";
  const c10::NoGradGuard no_grad;
  const Activation inferred = run({chain.x, nullptr}, plain_chain(at::kFloat).first, Recompute::none);
  EXPECT_FALSE(inferred.value.requires_grad());
  EXPECT_FALSE(inferred.from);
}

TEST(Piece, GoesBackwardOnce) {
  const Chain chain = plain_chain(at::kFloat);
  const at::Tensor output = run({chain.x, nullptr}, chain.first, Recompute::none).value;
  const at::Tensor gradient = random_map(1, output.sizes().vec(), at::kFloat);
  output.backward(gradient, /*retain_graph=*/true);
  EXPECT_THROW(output.backward(gradient), InternalError);
}

TEST(Piece, NeedsSomethingToDo) {
  EXPECT_THROW(run({random_map(1, {1, 2, 3, 3}), nullptr}, Piece{}, Recompute::none), InternalError);
}

// Bytes that stay after a forward, besides its output: of a map of 2 x 8 x 12 x 10 values in fp32.
int64_t kept_bytes(const Chain& chain, Recompute policy) {
  Activation result = run(run({chain.x, nullptr}, chain.first, policy), chain.second, policy);
  result.from.reset();
  const int64_t before = memory::counters().current_bytes;
  const int64_t output_bytes = memory::rounded(static_cast<int64_t>(result.value.nbytes()));
  result = {};
  return before - memory::counters().current_bytes - output_bytes;
}

TEST(Piece, KeepsWhatItsPolicySays) {
  memory::install_counting_allocator();
  const Chain chain = plain_chain(at::kFloat);
  const int64_t first = memory::rounded(2 * 8 * 12 * 10 * 4), second = memory::rounded(2 * 6 * 12 * 10 * 4);
  const int64_t statistics = 2 * memory::granule_bytes;
  // x is the caller's. none: y, u and z of the first; y and u of the second.
  EXPECT_EQ(kept_bytes(chain, Recompute::none), 3 * first + 2 * second + statistics);
  EXPECT_EQ(kept_bytes(chain, Recompute::activations), first + second + statistics);
}

TEST(Piece, DropsWhatItKeptAsBackwardUsesIt) {
  memory::install_counting_allocator();
  const Chain chain = plain_chain(at::kFloat);
  const int64_t before = memory::counters().current_bytes;
  at::Tensor output;
  {
    Activation result = run(run({chain.x, nullptr}, chain.first, Recompute::activations), chain.second,
                            Recompute::activations);
    output = result.value;
  }
  const at::Tensor gradient = random_map(99, output.sizes().vec(), at::kFloat);
  output.backward(gradient, /*retain_graph=*/true);  // the nodes live on, empty
  int64_t gradients = 0;
  for (const at::Tensor& leaf : chain.leaves()) {
    gradients += memory::rounded(static_cast<int64_t>(leaf.grad().nbytes()));
  }
  const int64_t held = memory::rounded(static_cast<int64_t>(output.nbytes())) * 2;  // output and `gradient`
  EXPECT_EQ(memory::counters().current_bytes - before, gradients + held);
}

// Watches which layer and piece the allocations of backward are for.
struct Seen {
  std::map<std::string, int> pieces;
  int elsewhere = 0;
};

TEST(Piece, NamesItselfInBackward) {
  memory::install_counting_allocator();
  Chain chain = plain_chain(at::kFloat);
  const std::string one = "model.1", two = "model.2";
  chain.first.layer = 1;
  chain.first.name = &one;
  chain.second.layer = 2;
  chain.second.name = &two;
  const at::Tensor output =
      run(run({chain.x, nullptr}, chain.first, Recompute::activations), chain.second, Recompute::activations)
          .value;
  const at::Tensor gradient = random_map(99, output.sizes().vec(), at::kFloat);
  for (const at::Tensor& leaf : chain.leaves()) {
    leaf.mutable_grad() = at::zeros_like(leaf);  // added to in place, as in training
  }
  Seen seen;
  memory::set_observer(
      [](int64_t bytes, const memory::Mark& mark, void* context) {
        auto& found = *static_cast<Seen*>(context);
        if (bytes > 0 && mark.piece != nullptr && mark.phase == memory::Phase::backward) {
          ++found.pieces[*mark.piece];
        } else if (bytes > 0) {
          ++found.elsewhere;
        }
      },
      &seen);
  output.backward(gradient);
  memory::set_observer(nullptr, nullptr);
  EXPECT_GT(seen.pieces["model.1"], 0);
  EXPECT_GT(seen.pieces["model.2"], 0);
  EXPECT_EQ(seen.elsewhere, 0);
  EXPECT_EQ(memory::current_mark().piece, nullptr);
}

}  // namespace
}  // namespace yolodist::ops
