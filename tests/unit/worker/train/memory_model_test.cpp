// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
// The memory model of common/plan against what the worker takes, counted by its allocator.
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <map>

#include "common/base/text.h"
#include "common/plan/bounds.h"
#include "common/plan/memory_model.h"
#include "tests/support/every_block.h"
#include "tests/support/measured_kernels.h"
#include "tests/support/tensors.h"
#include "worker/loss/detection_loss.h"
#include "worker/memory/budget.h"
#include "worker/model/initialise.h"
#include "worker/model/model.h"

namespace yolodist {
namespace {

using memory::Kind;
using memory::Phase;
using plan::Recompute;
using plan::RecomputePlan;

model_spec::ModelSpec shipped(const std::string& name) {
  return model_spec::read_model_spec(YOLODIST_SOURCE_DIR "/share/yolodist/models/" + name + ".yaml");
}

struct Named {
  std::string name;
  RecomputePlan recompute;
};

std::vector<Named> plans_for(const model_spec::ModelSpec& spec) {
  const size_t count = spec.layers.size();
  std::vector<Named> plans = {{"none", RecomputePlan(count, Recompute::none)},
                              {"activations", RecomputePlan(count, Recompute::activations)},
                              {"blocks", RecomputePlan(count, Recompute::block)}};
  constexpr Recompute all[] = {Recompute::none, Recompute::activations, Recompute::block};
  for (size_t shift = 0; shift < 3; ++shift) {
    plans.push_back({cat("mixed ", shift), {}});
    for (size_t i = 0; i < count; ++i) {
      plans.back().recompute.push_back(all[(i * i + i / 2 + shift) % 3]);
    }
  }
  return plans;
}

// A model in training: parameters with gradients of their own, which are there before anything is counted.
struct Trained {
  Trained(const model_spec::ModelSpec& spec, plan::Precision precision)
      : model(spec, at::kFloat,
              precision == plan::Precision::bf16 ? std::optional(at::kBFloat16) : std::nullopt),
        record(model.batch_norms, at::TensorOptions().dtype(at::kFloat)) {
    for (size_t i = 0; i < model.state.size(); ++i) {
      if (model.state.entries()[i].is_parameter()) {
        model.state[i].requires_grad_(true);
      }
    }
  }
  void make_gradients() {
    for (size_t i = 0; i < model.state.size(); ++i) {
      if (model.state.entries()[i].is_parameter()) {
        model.state[i].mutable_grad() = model.state[i].detach().clone();
      }
    }
  }

  // As the worker runs it. Only the network holds the pictures.
  std::vector<at::Tensor> forward(const plan::Workload& w) {
    const memory::PhaseScope phase(Phase::forward);
    const auto pictures = [&] {
      const memory::KindScope kind(Kind::input);
      return at::empty({w.pictures, 3, w.height_px, w.width_px},
                       at::TensorOptions().dtype(model.compute_dtype()), at::MemoryFormat::ChannelsLast)
          .fill_(0.5);
    };
    return model::forward(model, pictures(), &record, w.recompute);
  }

  model::Model model;
  model::BatchNormRecord record;
};

plan::Workload workload_of(plan::Precision precision, int height_px, int width_px, int pictures) {
  plan::Workload w;
  w.precision = precision;
  w.height_px = height_px;
  w.width_px = width_px;
  w.pictures = pictures;
  w.threads = at::get_num_threads();
  return w;
}

std::map<int, int64_t> activations_by_layer() {
  std::map<int, int64_t> bytes;
  for (const memory::Holder& holder : memory::holders()) {
    if (holder.kind == Kind::activations) {
      bytes[holder.layer] += holder.bytes;
    }
  }
  return bytes;
}

int64_t total_of(const std::map<int, int64_t>& bytes) {
  int64_t sum = 0;
  for (const auto& [layer, of_layer] : bytes) {
    sum += of_layer;
  }
  return sum;
}

void expect_kept_as_planned(Trained& trained, plan::Workload w) {
  const model_spec::ModelSpec& spec = trained.model.spec;
  for (const auto& [name, recompute] : plans_for(spec)) {
    SCOPED_TRACE(cat(spec.name, ", ", w.precision == plan::Precision::bf16 ? "bf16, " : "fp32, ", name));
    w.recompute = recompute;
    const plan::Estimate planned = plan::estimate(spec, w);
    ASSERT_TRUE(activations_by_layer().empty());
    const std::vector<at::Tensor> raw = trained.forward(w);
    std::map<int, int64_t> measured = activations_by_layer();
    ASSERT_EQ(planned.layers.size(), spec.layers.size());
    int64_t sum = 0;
    for (const plan::LayerBytes& layer : planned.layers) {
      EXPECT_EQ(measured[layer.index], layer.kept_bytes)
          << "layer " << layer.index << " " << spec.layers[static_cast<size_t>(layer.index)].block;
      sum += layer.kept_bytes;
    }
    EXPECT_EQ(total_of(measured), sum) << "of no layer";
  }
}

class MemoryModel : public ::testing::Test {
 protected:
  void SetUp() override {
    memory::install_counting_allocator();
    at::set_num_threads(1);
  }
};

class EveryLayer : public MemoryModel, public ::testing::WithParamInterface<const char*> {};
INSTANTIATE_TEST_SUITE_P(Models, EveryLayer,
                         ::testing::Values("yolov5n", "yolov5s", "yolov5m", "yolov5l", "yolov5x", "yolov5n6",
                                           "yolov5s6", "yolov5m6", "yolov5l6", "yolov5x6"),
                         [](const auto& tested) { return std::string(tested.param); });

// Three pictures of the smallest sides that the model takes, not square.
TEST_P(EveryLayer, KeepsForBackwardWhatItsPlanSays) {
  const model_spec::ModelSpec spec = shipped(GetParam());
  const int side_px = std::max(spec.max_stride_px(), 32);
  for (const plan::Precision precision : {plan::Precision::fp32, plan::Precision::bf16}) {
    Trained trained(spec, precision);
    expect_kept_as_planned(trained, workload_of(precision, side_px, 2 * side_px, 3));
  }
}

TEST_F(MemoryModel, OfEveryBlockIsWhatBackwardKeeps) {
  for (const char* activation : {"nn.SiLU()", "nn.ReLU()", "nn.Identity()"}) {
    const model_spec::ModelSpec spec = test::every_block(activation);
    for (const plan::Precision precision : {plan::Precision::fp32, plan::Precision::bf16}) {
      Trained trained(spec, precision);
      expect_kept_as_planned(trained, workload_of(precision, 64, 32, 2));
    }
  }
}

TEST_F(MemoryModel, OfFrozenLayersIsWhatBackwardKeeps) {
  const model_spec::ModelSpec spec = shipped("yolov5n");
  for (const std::vector<int>& frozen : {std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, {2, 5, 9, 13, 20}}) {
    Trained trained(spec, plan::Precision::fp32);
    plan::Workload w = workload_of(plan::Precision::fp32, 64, 64, 2);
    w.frozen.assign(spec.layers.size(), false);
    for (const int layer : frozen) {
      w.frozen[static_cast<size_t>(layer)] = true;
      for (size_t i = 0; i < trained.model.state.size(); ++i) {
        if (trained.model.state.entries()[i].name.starts_with(cat("model.", layer, "."))) {
          trained.model.state[i].requires_grad_(false);
        }
      }
    }
    expect_kept_as_planned(trained, w);
  }
}

// The highest of forward, loss and backward together, beyond what is there between iterations.
int64_t measured_peak(Trained& trained, const plan::Workload& w,
                      const std::vector<loss::LevelMatches>& matches) {
  loss::Normalisers normalisers;
  normalisers.picture_count = w.pictures;
  for (const loss::LevelMatches& level : matches) {
    normalisers.match_count.push_back(level.count());
  }
  const int64_t before = memory::counters().current_bytes;
  memory::reset_peak();
  {
    std::vector<at::Tensor> raw = trained.forward(w);
    const loss::GroupLoss loss = [&] {
      const memory::PhaseScope phase(Phase::loss);
      return loss::detection_loss(raw, matches, normalisers, {});
    }();
    raw.clear();
    const memory::PhaseScope phase(Phase::backward);
    loss.total.backward();
  }
  EXPECT_EQ(memory::counters().current_bytes, before) << "nothing is left behind";
  return memory::counters().peak_bytes - before;
}

void expect_peaks_as_planned(Trained& trained, plan::Workload w, double most_error) {
  if (const std::string why = test::other_kernels(w.precision == plan::Precision::bf16); !why.empty()) {
    GTEST_SKIP() << why;
  }
  const model_spec::ModelSpec& spec = trained.model.spec;
  trained.make_gradients();
  for (const auto& [name, recompute] : plans_for(spec)) {
    SCOPED_TRACE(cat(spec.name, ", ", w.height_px, " px, ", w.pictures, " pictures, ",
                     w.precision == plan::Precision::bf16 ? "bf16, " : "fp32, ", name));
    w.recompute = recompute;
    const plan::Estimate planned = plan::estimate(spec, w);
    const auto plan_bytes = static_cast<double>(planned.training_bytes - planned.state_bytes);
    const std::vector<loss::LevelMatches> no_matches(spec.strides_px.size());
    const auto measured = static_cast<double>(measured_peak(trained, w, no_matches));
    EXPECT_LE(measured, plan_bytes) << planned.peak_at;
    EXPECT_GE(measured, plan_bytes * (1 - most_error)) << planned.peak_at;
  }
}

constexpr double half_a_percent = 0.005;

TEST_F(MemoryModel, PredictsThePeakOfAnIteration) {
  for (const plan::Precision precision : {plan::Precision::fp32, plan::Precision::bf16}) {
    Trained small(shipped("yolov5n"), precision);
    expect_peaks_as_planned(small, workload_of(precision, 640, 640, 1), half_a_percent);
    expect_peaks_as_planned(small, workload_of(precision, 320, 448, 3), half_a_percent);
  }
}

TEST_F(MemoryModel, PredictsThePeakWhereWeightsAreLarge) {
  for (const plan::Precision precision : {plan::Precision::fp32, plan::Precision::bf16}) {
    Trained larger(shipped("yolov5s"), precision);
    expect_peaks_as_planned(larger, workload_of(precision, 320, 320, 2), half_a_percent);
    Trained wide(shipped("yolov5n6"), precision);
    expect_peaks_as_planned(wide, workload_of(precision, 320, 320, 1), half_a_percent);
  }
}

// Without a nonlinearity batch norm's backward has no gradient of its own to write over.
TEST_F(MemoryModel, PredictsThePeakOfEveryBlock) {
  for (const char* activation : {"nn.SiLU()", "nn.Identity()"}) {
    SCOPED_TRACE(activation);
    for (const plan::Precision precision : {plan::Precision::fp32, plan::Precision::bf16}) {
      Trained trained(test::every_block(activation), precision);
      expect_peaks_as_planned(trained, workload_of(precision, 320, 320, 2), half_a_percent);
    }
  }
}

TEST_F(MemoryModel, PredictsThePeakWithTwoThreads) {
  at::set_num_threads(2);
  Trained trained(shipped("yolov5n"), plan::Precision::fp32);
  expect_peaks_as_planned(trained, workload_of(plan::Precision::fp32, 640, 640, 1), half_a_percent);
}

// 5000 boxes in one picture and a thousand classes: the loss goes piece by piece.
TEST_F(MemoryModel, HoldsTheDensestLabels) {
  Trained trained(
      model_spec::read_model_spec(YOLODIST_SOURCE_DIR "/share/yolodist/models/yolov5n.yaml", 1000),
      plan::Precision::fp32);
  {
    const c10::NoGradGuard no_grad;
    model::initialise(trained.model, 0);  // for its anchors
  }
  trained.make_gradients();
  plan::Workload w = workload_of(plan::Precision::fp32, 320, 320, 2);
  std::vector<loss::BatchTarget> targets;
  Draws64 draws(5, RandomStream::weights, 0);
  for (int k = 0; k < 5000; ++k) {
    targets.push_back({0, draws.below(1000), static_cast<float>(draws.uniform()),
                       static_cast<float>(draws.uniform()), static_cast<float>(draws.uniform(0.01, 0.5)),
                       static_cast<float>(draws.uniform(0.01, 0.5))});
  }
  const std::vector<loss::LevelMatches> matches =
      loss::match_targets(targets, model::grid_anchors(trained.model),
                          std::vector<loss::LevelShape>{{40, 40}, {20, 20}, {10, 10}}, 4);
  for (const loss::LevelMatches& level : matches) {
    ASSERT_GT(level.count(), 1000);
    w.matches += level.count();
  }
  w.matches = std::max(w.matches, plan::most_matches(trained.model.spec, 5000));
  const plan::Estimate planned = plan::estimate(trained.model.spec, w);
  const int64_t measured = measured_peak(trained, w, matches);
  EXPECT_LE(measured, planned.training_bytes - planned.state_bytes);
  EXPECT_GE(measured, (planned.training_bytes - planned.state_bytes) * 97 / 100);
}

// As the product promises, of the bytes that a forward leaves for backward.
TEST_F(MemoryModel, RecomputeOfActivationsKeepsTwoFifthsLess) {
  for (const char* name : {"yolov5n", "yolov5s"}) {
    Trained trained(shipped(name), plan::Precision::fp32);
    plan::Workload w = workload_of(plan::Precision::fp32, 640, 640, 1);
    const auto kept = [&](Recompute recompute) {
      w.recompute.assign(trained.model.spec.layers.size(), recompute);
      const std::vector<at::Tensor> raw = trained.forward(w);
      return static_cast<double>(total_of(activations_by_layer()));
    };
    const double plain = kept(Recompute::none);
    EXPECT_LE(kept(Recompute::activations), 0.6 * plain) << name;
  }
}

}  // namespace
}  // namespace yolodist
