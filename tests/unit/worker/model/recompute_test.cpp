// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
// Whole models under every recompute policy: equal to the bit, in less memory.
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <set>

#include "common/base/error.h"
#include "common/base/text.h"
#include "tests/support/every_block.h"
#include "tests/support/tensors.h"
#include "tests/unit/worker/model/small_models.h"
#include "worker/memory/budget.h"
#include "worker/model/blocks.h"
#include "worker/model/initialise.h"
#include "worker/model/model.h"

namespace yolodist::model {
namespace {

using plan::Recompute;
using plan::RecomputePlan;
using test::every_block;
using test::random_tensor;
using test::values_of;

struct Named {
  std::string name;
  RecomputePlan plan;
};

std::vector<Named> plans_for(const model_spec::ModelSpec& spec) {
  const size_t count = spec.layers.size();
  std::vector<Named> plans = {{"activations", RecomputePlan(count, Recompute::activations)},
                              {"blocks", RecomputePlan(count, Recompute::block)}};
  constexpr Recompute all[] = {Recompute::none, Recompute::activations, Recompute::block};
  for (size_t shift = 0; shift < 3; ++shift) {
    plans.push_back({cat("mixed ", shift), {}});
    for (size_t i = 0; i < count; ++i) {
      plans.back().plan.push_back(all[(i * i + i / 2 + shift) % 3]);
    }
  }
  return plans;
}

// What a test wants to be different from plain training.
struct Setting {
  at::ScalarType dtype = at::kFloat;
  std::optional<at::ScalarType> compute = {};
  bool measures = true;       // false: --freeze-bn
  std::set<int> frozen = {};  // layers
  int64_t side_px = 64;
};

struct Outcome {
  std::vector<at::Tensor> outputs, gradients;  // gradients by entry; undefined for buffers and what is frozen
  std::vector<double> record;
};

Model model_of(const model_spec::ModelSpec& spec, const Setting& setting) {
  Model model(spec, setting.dtype, setting.compute);
  initialise(model, 3);
  for (size_t i = 0; i < model.state.size(); ++i) {
    const auto& entry = model.state.entries()[i];
    const int layer = std::stoi(entry.name.substr(std::string("model.").size()));
    model.state[i].requires_grad_(entry.is_parameter() && !setting.frozen.contains(layer));
  }
  return model;
}

Outcome outcome_of(const Model& model, const Setting& setting, const RecomputePlan& plan) {
  const at::Tensor images =
      random_tensor(1, {2, 3, setting.side_px, setting.side_px}, model.compute_dtype(), 0, 1);
  BatchNormRecord record(model.batch_norms, model.dtype());
  Outcome outcome{forward(model, images, setting.measures ? &record : nullptr, plan), {}, {}};
  // Something like a loss: not linear in the outputs, uneven over them.
  at::Tensor loss;
  for (size_t level = 0; level < outcome.outputs.size(); ++level) {
    const at::Tensor& raw = outcome.outputs[level];
    const at::Tensor weights =
        random_tensor(static_cast<uint32_t>(10 + level), raw.sizes().vec(), raw.scalar_type());
    const at::Tensor term = (raw * raw * weights + raw * weights).sum();
    loss = loss.defined() ? loss + term : term;
  }
  loss.backward();
  for (size_t i = 0; i < model.state.size(); ++i) {
    outcome.gradients.push_back(model.state[i].grad());
    model.state[i].mutable_grad().reset();
  }
  for (at::Tensor& raw : outcome.outputs) {
    raw = raw.detach();
  }
  outcome.record = to_row(record);
  return outcome;
}

void expect_same_bits(const Model& model, const Outcome& found, const Outcome& expected,
                      const std::string& what) {
  ASSERT_EQ(found.outputs.size(), expected.outputs.size());
  for (size_t level = 0; level < found.outputs.size(); ++level) {
    EXPECT_TRUE(found.outputs[level].equal(expected.outputs[level])) << what << ", level " << level;
  }
  EXPECT_EQ(found.record, expected.record) << what;
  for (size_t i = 0; i < found.gradients.size(); ++i) {
    const auto& entry = model.state.entries()[i];
    ASSERT_EQ(found.gradients[i].defined(), expected.gradients[i].defined()) << what << ", " << entry.name;
    ASSERT_EQ(found.gradients[i].defined(), model.state[i].requires_grad()) << what << ", " << entry.name;
    if (found.gradients[i].defined()) {
      ASSERT_EQ(found.gradients[i].scalar_type(), model.dtype());
      EXPECT_TRUE(found.gradients[i].equal(expected.gradients[i])) << what << ", " << entry.name;
    }
  }
}

void expect_same_under_all_policies(const model_spec::ModelSpec& spec, const Setting& setting) {
  at::set_num_threads(1);
  const Model model = model_of(spec, setting);
  const Outcome expected = outcome_of(model, setting, {});
  for (const auto& [name, plan] : plans_for(spec)) {
    expect_same_bits(model, outcome_of(model, setting, plan), expected, name);
  }
}

TEST(Recompute, OfEveryBlockIsEqualToTheBit) {
  for (const char* activation :
       {"nn.SiLU()", "nn.LeakyReLU(0.1)", "nn.ReLU()", "nn.Hardswish()", "nn.Identity()"}) {
    SCOPED_TRACE(activation);
    expect_same_under_all_policies(every_block(activation), {.dtype = at::kFloat});
  }
}

TEST(Recompute, InDoubleIsEqualToTheBit) {
  expect_same_under_all_policies(every_block("nn.SiLU()"), {.dtype = at::kDouble});
}

TEST(Recompute, InBf16IsEqualToTheBit) {
  expect_same_under_all_policies(every_block("nn.SiLU()"), {.dtype = at::kFloat, .compute = at::kBFloat16});
}

TEST(Recompute, WithRunningStatisticsIsEqualToTheBit) {
  expect_same_under_all_policies(every_block("nn.SiLU()"), {.measures = false});
}

TEST(Recompute, WithFrozenLayersIsEqualToTheBit) {
  const model_spec::ModelSpec spec = every_block("nn.SiLU()");
  expect_same_under_all_policies(spec, {.frozen = {0, 1, 2, 3}});
  expect_same_under_all_policies(spec, {.frozen = {4, 8, 9, 12, 16}});
}

TEST(Recompute, OfYolov5nIsEqualToTheBit) {
  const model_spec::ModelSpec spec = test::shipped("yolov5n", 3);
  expect_same_under_all_policies(spec, {.dtype = at::kFloat, .side_px = 96});
  expect_same_under_all_policies(spec, {.dtype = at::kDouble, .side_px = 64});
}

TEST(Recompute, WithTwoThreadsIsEqualToTheBit) {
  const Setting setting{.side_px = 96};
  const Model model = model_of(test::shipped("yolov5n", 3), setting);
  at::set_num_threads(2);
  const Outcome expected = outcome_of(model, setting, {});
  const Outcome found = outcome_of(model, setting, RecomputePlan(model.spec.layers.size(), Recompute::block));
  at::set_num_threads(1);
  expect_same_bits(model, found, expected, "blocks");
}

// Several micro-batches add up in the gradients where they lie.
TEST(Recompute, AccumulatesInPlace) {
  at::set_num_threads(1);
  const Setting setting{.side_px = 64};
  const Model model = model_of(test::shipped("yolov5n", 3), setting);
  const Outcome once = outcome_of(model, setting, {});
  std::vector<at::Tensor> gradients;
  for (size_t i = 0; i < model.state.size(); ++i) {
    if (model.state[i].requires_grad()) {
      model.state[i].mutable_grad() = once.gradients[i].clone();
      gradients.push_back(model.state[i].grad());
    }
  }
  const Outcome twice = outcome_of(model, setting, RecomputePlan(model.spec.layers.size(), Recompute::block));
  size_t k = 0;
  for (size_t i = 0; i < model.state.size(); ++i) {
    if (model.state[i].requires_grad()) {
      EXPECT_TRUE(twice.gradients[i].is_same(gradients[k++]));
      EXPECT_TRUE(twice.gradients[i].equal(once.gradients[i] * 2)) << model.state.entries()[i].name;
    }
  }
}

TEST(Recompute, TakesAPolicyALayer) {
  const Model model(test::shipped("yolov5n", 3), at::kFloat);
  EXPECT_THROW(forward(model, random_tensor(1, {1, 3, 32, 32}, at::kFloat), nullptr, {Recompute::none}),
               InternalError);
}

TEST(Recompute, ComputesWholeLayersOfSeveralConvolutionsAgain) {
  std::set<std::string> whole;
  for (const auto& layer : every_block("nn.SiLU()").layers) {
    if (recomputes_whole(layer)) {
      whole.insert(layer.block);
    }
  }
  EXPECT_EQ(whole, (std::set<std::string>{"C3", "C3Ghost", "BottleneckCSP", "Bottleneck", "GhostBottleneck",
                                          "SPP", "SPPF"}));
}

// Bytes that a forward leaves behind for backward, its raw outputs included.
int64_t kept_bytes(const Model& model, int64_t side_px, const RecomputePlan& plan) {
  const at::Tensor images = random_tensor(1, {1, 3, side_px, side_px}, model.compute_dtype(), 0, 1)
                                .contiguous(at::MemoryFormat::ChannelsLast);
  BatchNormRecord record(model.batch_norms, model.dtype());
  const int64_t before = memory::counters().current_bytes;
  const std::vector<at::Tensor> raw = forward(model, images, &record, plan);
  return memory::counters().current_bytes - before;
}

// As the product promises: activations take 40 % off, and bf16 45 % besides its copies of the weights.
TEST(Recompute, KeepsLess) {
  memory::install_counting_allocator();
  at::set_num_threads(1);
  const model_spec::ModelSpec spec = test::shipped("yolov5n", 80);
  const size_t count = spec.layers.size();
  const Model model = model_of(spec, {});
  const auto plain = static_cast<double>(kept_bytes(model, 320, {}));
  EXPECT_LT(static_cast<double>(kept_bytes(model, 320, RecomputePlan(count, Recompute::activations))),
            0.6 * plain);
  EXPECT_LT(static_cast<double>(kept_bytes(model, 320, RecomputePlan(count, Recompute::block))), 0.4 * plain);
  const Model half = model_of(spec, {.compute = at::kBFloat16});
  int64_t copies = 0;
  for (size_t i = 0; i < half.state.size(); ++i) {
    if (half.state.entries()[i].role == model_spec::StateEntry::Role::conv_weight) {
      copies += memory::rounded(half.state[i].numel() * 2);
    }
  }
  EXPECT_LT(static_cast<double>(kept_bytes(half, 320, {}) - copies), 0.55 * plain);
}

// A frozen beginning keeps nothing but what the first trained layer takes.
TEST(Recompute, KeepsNothingForFrozenLayers) {
  memory::install_counting_allocator();
  const model_spec::ModelSpec spec = test::shipped("yolov5n", 80);
  const Model all = model_of(spec, {}), head = model_of(spec, {.frozen = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}});
  EXPECT_LT(kept_bytes(head, 320, {}), kept_bytes(all, 320, {}) / 3);
}

TEST(ModelInBf16, IsCloseToSingle) {
  at::set_num_threads(1);
  const model_spec::ModelSpec spec = test::shipped("yolov5n", 3);
  const Setting single{.side_px = 256}, half{.compute = at::kBFloat16, .side_px = 256};
  const Model exact = model_of(spec, single), rough = model_of(spec, half);
  const Outcome expected = outcome_of(exact, single, {}), found = outcome_of(rough, half, {});
  const auto relative = [](const at::Tensor& a, const at::Tensor& b) {
    return (a - b).norm().item<double>() / b.norm().item<double>();
  };
  for (size_t level = 0; level < found.outputs.size(); ++level) {
    EXPECT_EQ(found.outputs[level].scalar_type(), at::kFloat);
    EXPECT_LT(relative(found.outputs[level], expected.outputs[level]), 0.15) << "level " << level;
  }
  EXPECT_LT(relative(at::tensor(found.record), at::tensor(expected.record)), 0.05);
  // An untrained network under a loss of random signs is the hardest case: each layer adds to the noise (the
  // same with LibTorch's own batch norm). Single pieces are held to 5 % in worker/ops.
  std::vector<at::Tensor> all_found, all_expected;
  for (size_t i = 0; i < found.gradients.size(); ++i) {
    if (found.gradients[i].defined()) {
      all_found.push_back(found.gradients[i].flatten());
      all_expected.push_back(expected.gradients[i].flatten());
      if (exact.state.entries()[i].name.starts_with(
              "model.24.")) {  // Detect: the first that backward reaches
        EXPECT_LT(relative(found.gradients[i], expected.gradients[i]), 0.4) << exact.state.entries()[i].name;
      }
    }
  }
  EXPECT_LT(relative(at::cat(all_found), at::cat(all_expected)), 0.7);
}

TEST(ModelInBf16, KeepsItsParametersAndDecodesInSingle) {
  const c10::NoGradGuard no_grad;
  const Model model = model_of(test::shipped("yolov5n", 3), {.compute = at::kBFloat16});
  EXPECT_EQ(model.dtype(), at::kFloat);
  EXPECT_EQ(Model(model, model.state.clone()).compute_dtype(), at::kBFloat16);
  const std::vector<at::Tensor> raw =
      forward(model, random_tensor(1, {1, 3, 64, 64}, at::kFloat, 0, 1), nullptr);
  EXPECT_EQ(decode(model, raw).scalar_type(), at::kFloat);
}

// Where the layer table's names show up: each allocation of a forward and a backward is some layer's.
TEST(Marks, NameLayersAndConvolutions) {
  memory::install_counting_allocator();
  at::set_num_threads(1);
  const Model model = model_of(test::shipped("yolov5n", 3), {});
  std::set<std::string> pieces;
  memory::set_observer(
      [](int64_t bytes, const memory::Mark& mark, void* context) {
        if (bytes > 0 && mark.piece != nullptr) {
          EXPECT_GE(mark.layer, 0);
          static_cast<std::set<std::string>*>(context)->insert(std::string(memory::name_of(mark.phase)) +
                                                               " " + *mark.piece);
        }
      },
      &pieces);
  outcome_of(model, {}, RecomputePlan(model.spec.layers.size(), Recompute::block));
  memory::set_observer(nullptr, nullptr);
  for (const char* piece : {"start model.0", "start model.4.m.1.cv2", "start model.24.m.2",
                            "backward model.0", "backward model.4.m.1.cv2", "backward model.24.m.2"}) {
    EXPECT_TRUE(pieces.contains(piece)) << piece;
  }
}

}  // namespace
}  // namespace yolodist::model
