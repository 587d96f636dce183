// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
// The memory model by itself; what a worker really takes is compared in tests/unit/worker/train.
#include "common/plan/memory_model.h"

#include <gmock/gmock.h>

#include <numeric>

#include "common/base/text.h"
#include "common/plan/bounds.h"
#include "tests/support/every_block.h"

namespace yolodist::plan {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

constexpr const char* shipped_names[] = {"yolov5n",  "yolov5s",  "yolov5m",  "yolov5l",  "yolov5x",
                                         "yolov5n6", "yolov5s6", "yolov5m6", "yolov5l6", "yolov5x6"};
constexpr int64_t kib = 1024;

model_spec::ModelSpec shipped(const std::string& name, int class_count = 0) {
  return model_spec::read_model_spec(YOLODIST_SOURCE_DIR "/share/yolodist/models/" + name + ".yaml",
                                     class_count);
}

Workload workload_of(int side_px, int pictures) {
  Workload w;
  w.imgsz_px = w.height_px = w.width_px = side_px;
  w.pictures = pictures;
  return w;
}

RecomputePlan all(const model_spec::ModelSpec& spec, Recompute recompute) {
  return RecomputePlan(spec.layers.size(), recompute);
}

int64_t kept_bytes(const Estimate& estimate) {
  return std::accumulate(estimate.layers.begin(), estimate.layers.end(), int64_t{0},
                         [](int64_t sum, const LayerBytes& layer) { return sum + layer.kept_bytes; });
}

int64_t training_bytes(const model_spec::ModelSpec& spec, Workload w, Recompute recompute) {
  w.recompute = all(spec, recompute);
  return estimate(spec, w).training_bytes;
}

TEST(MemoryModel, GrowsWithPicturesAndSideUnderEveryPolicy) {
  for (const char* name : shipped_names) {
    const model_spec::ModelSpec spec = shipped(name);
    for (const Recompute recompute : {Recompute::none, Recompute::activations, Recompute::block}) {
      int64_t before = 0;
      for (const int pictures : {1, 2, 3, 5, 8, 16}) {
        const int64_t bytes = training_bytes(spec, workload_of(640, pictures), recompute);
        EXPECT_GT(bytes, before) << name << ", " << pictures << " pictures";
        before = bytes;
      }
      before = 0;
      for (const int side_px : {320, 640, 960, 1280, 1536}) {
        const int64_t bytes = training_bytes(spec, workload_of(side_px, 2), recompute);
        EXPECT_GT(bytes, before) << name << ", " << side_px << " px";
        before = bytes;
      }
    }
  }
}

TEST(MemoryModel, NeedsLessTheMoreIsComputedAgain) {
  for (const char* name : shipped_names) {
    const model_spec::ModelSpec spec = shipped(name);
    for (const int side_px : {640, 1280}) {
      const Workload w = workload_of(side_px, 2);
      const int64_t none = training_bytes(spec, w, Recompute::none);
      const int64_t activations = training_bytes(spec, w, Recompute::activations);
      EXPECT_GT(none, activations) << name << " " << side_px;
      EXPECT_GT(activations, training_bytes(spec, w, Recompute::block)) << name << " " << side_px;
    }
  }
}

TEST(MemoryModel, KeepsNoMoreOfAnyLayerThanPlainTrainingDoes) {
  for (const char* name : shipped_names) {
    const model_spec::ModelSpec spec = shipped(name);
    Workload w = workload_of(640, 2);
    const Estimate plain = estimate(spec, w);
    ASSERT_EQ(plain.layers.size(), spec.layers.size());
    std::vector<RecomputePlan> plans = {all(spec, Recompute::activations), all(spec, Recompute::block)};
    for (size_t shift = 0; shift < 3; ++shift) {
      plans.emplace_back();
      for (size_t i = 0; i < spec.layers.size(); ++i) {
        plans.back().push_back(static_cast<Recompute>((i * i + i / 2 + shift) % 3));
      }
    }
    for (const RecomputePlan& recompute : plans) {
      w.recompute = recompute;
      const Estimate found = estimate(spec, w);
      EXPECT_LT(kept_bytes(found), kept_bytes(plain)) << name;
      for (size_t i = 0; i < found.layers.size(); ++i) {
        EXPECT_EQ(found.layers[i].index, static_cast<int>(i));
        EXPECT_LE(found.layers[i].kept_bytes, plain.layers[i].kept_bytes) << name << ", layer " << i;
      }
    }
  }
}

TEST(MemoryModel, IsTheSumOfItsTerms) {
  for (const char* name : shipped_names) {
    const model_spec::ModelSpec spec = shipped(name);
    for (const int validation_pictures : {0, 1, 64}) {
      Workload w = workload_of(640, 2);
      w.validation_pictures = validation_pictures;
      w.validation_height_px = w.validation_width_px = largest_validation_side(spec, 640);
      const Estimate found = estimate(spec, w);
      EXPECT_EQ(found.terms.allocator_bytes(), found.allocator_bytes) << name;
      EXPECT_EQ(found.allocator_bytes, std::max(found.training_bytes, found.validation_bytes)) << name;
      EXPECT_EQ(found.device_bytes, found.allocator_bytes) << name << ": on the CPU nothing lies outside";
      EXPECT_LT(found.state_bytes, found.allocator_bytes) << name;
    }
  }
}

// Each parameter in fp32: itself, its gradient, momentum and average; each tensor a whole number of 512
// bytes.
TEST(MemoryModel, CountsTheStateOfARun) {
  const model_spec::ModelSpec spec = shipped("yolov5s");
  const int64_t parameters = 4 * spec.parameter_count();
  const auto tensor_count = static_cast<int64_t>(spec.entries().size());
  const Terms terms = estimate(spec, workload_of(640, 1)).terms;
  for (const int64_t bytes : {terms.parameters, terms.optimizer}) {
    EXPECT_GE(bytes, parameters);
    EXPECT_LE(bytes, parameters + 512 * tensor_count);
  }
  EXPECT_GE(terms.gradients, parameters);
  EXPECT_LE(terms.gradients, parameters + 512 * tensor_count);
  EXPECT_GT(terms.ema, terms.parameters) << "with the statistics of batch norm";
  EXPECT_EQ(terms.precision_copies, 0);
}

TEST(MemoryModel, GivesAdamAndAdamWASecondState) {
  const model_spec::ModelSpec spec = shipped("yolov5n");
  Workload w = workload_of(640, 1);
  const Estimate sgd = estimate(spec, w);
  w.optimizer_state_count = 2;
  const Estimate adam = estimate(spec, w);
  EXPECT_GT(adam.terms.optimizer, 2 * sgd.terms.optimizer);
  EXPECT_LT(adam.terms.optimizer,
            2 * sgd.terms.optimizer + 512 * static_cast<int64_t>(spec.entries().size()));
  EXPECT_EQ(adam.training_bytes - sgd.training_bytes, adam.terms.optimizer - sgd.terms.optimizer);
}

TEST(MemoryModel, TakesFrozenLayersOffGradientsOptimizerAndActivations) {
  const model_spec::ModelSpec spec = shipped("yolov5s");
  Workload w = workload_of(640, 1);
  const Estimate whole = estimate(spec, w);
  w.frozen.assign(spec.layers.size(), false);
  std::fill_n(w.frozen.begin(), 10, true);
  const Estimate frozen = estimate(spec, w);
  EXPECT_EQ(frozen.terms.parameters, whole.terms.parameters);
  EXPECT_EQ(frozen.terms.ema, whole.terms.ema);
  EXPECT_LT(frozen.terms.gradients, whole.terms.gradients * 3 / 4);
  EXPECT_LT(frozen.terms.optimizer, whole.terms.optimizer * 3 / 4);
  for (size_t layer = 0; layer < 9; ++layer) {
    EXPECT_EQ(frozen.layers[layer].kept_bytes, 0) << "layer " << layer;
  }
  EXPECT_GT(frozen.layers[9].kept_bytes, 0) << "the first trained layer takes its output";
  EXPECT_LT(kept_bytes(frozen), kept_bytes(whole) / 3);

  // Nor does a block that would run again, had it a gradient to find. A recipe of a concatenation holds the
  // parts that have none themselves, in place of the whole: here the outputs of frozen layers.
  w.recompute = all(spec, Recompute::block);
  const Estimate blocks = estimate(spec, w);
  for (size_t layer = 0; layer < 9; ++layer) {
    const int64_t output = layer == 4 ? 128 * 80 * 80 * 4 : layer == 6 ? 256 * 40 * 40 * 4 : 0;
    EXPECT_EQ(blocks.layers[layer].kept_bytes, output) << "layer " << layer;
  }
  w.recompute.clear();

  // In the middle a frozen layer still hands gradients on: only its weights have none.
  w.frozen.assign(spec.layers.size(), false);
  w.frozen[4] = true;
  const Estimate middle = estimate(spec, w);
  EXPECT_LT(middle.terms.gradients, whole.terms.gradients);
  EXPECT_GT(middle.layers[4].kept_bytes, whole.layers[4].kept_bytes / 2);
}

TEST(MemoryModel, LeavesOutAGroupsStatisticsWhenBatchNormIsFrozen) {
  const model_spec::ModelSpec spec = shipped("yolov5n");
  Workload w = workload_of(640, 1);
  const Terms measured = estimate(spec, w).terms;
  w.freezes_bn = true;
  EXPECT_LT(estimate(spec, w).terms.buffers, measured.buffers);
}

TEST(MemoryModel, HalvesActivationsInBf16AndKeepsTheMasterState) {
  for (const char* name : {"yolov5n", "yolov5s6", "yolov5x"}) {
    const model_spec::ModelSpec spec = shipped(name);
    Workload w = workload_of(640, 4);
    const Estimate single = estimate(spec, w);
    w.precision = Precision::bf16;
    const Estimate half = estimate(spec, w);
    EXPECT_EQ(half.state_bytes, single.state_bytes) << name;
    EXPECT_GT(half.terms.precision_copies, 0) << name;
    EXPECT_LT(half.terms.activations, single.terms.activations * 55 / 100) << name;
    EXPECT_LT(half.training_bytes, single.training_bytes) << name;
    w.precision = Precision::fp64;
    const Estimate twice = estimate(spec, w);
    EXPECT_GT(twice.training_bytes, single.training_bytes * 19 / 10) << name;
    EXPECT_GT(twice.state_bytes, single.state_bytes * 19 / 10) << name;
  }
}

TEST(MemoryModel, HoldsValidationAtItsOwnSizeAndBatch) {
  for (const char* name : shipped_names) {
    const model_spec::ModelSpec spec = shipped(name);
    Workload w = workload_of(640, 1);
    EXPECT_EQ(estimate(spec, w).validation_bytes, 0);
    w.validation_height_px = w.validation_width_px = largest_validation_side(spec, 640);
    int64_t before = estimate(spec, w).state_bytes;
    for (const int pictures : {1, 2, 4, 64}) {
      w.validation_pictures = pictures;
      const int64_t bytes = estimate(spec, w).validation_bytes;
      EXPECT_GT(bytes, before) << name << ", " << pictures << " pictures";
      before = bytes;
    }
    const Estimate highest = estimate(spec, w);
    EXPECT_EQ(highest.allocator_bytes, highest.validation_bytes);
    EXPECT_THAT(highest.peak_at, StartsWith("validation"));
    w.validation_width_px /= 2;
    EXPECT_LT(estimate(spec, w).validation_bytes, highest.validation_bytes);
    w.validation_pictures = 1;
    EXPECT_EQ(estimate(spec, w).allocator_bytes, estimate(spec, w).training_bytes) << name;
  }
}

TEST(MemoryModel, NamesTheLayerOfThePeak) {
  const model_spec::ModelSpec spec = shipped("yolov5n");
  Workload w = workload_of(640, 1);
  w.recompute = all(spec, Recompute::block);
  EXPECT_THAT(estimate(spec, w).peak_at, HasSubstr("backward of model."));
}

// Boxes and classes beyond some hundred change nothing: the loss goes piece by piece.
TEST(MemoryModel, BoundsTheLossWhateverTheLabels) {
  const model_spec::ModelSpec spec = shipped("yolov5n", 1000);
  Workload w = workload_of(640, 1);
  const int64_t without = estimate(spec, w).training_bytes;
  w.matches = most_matches(spec, 5000);
  const int64_t dense = estimate(spec, w).training_bytes;
  EXPECT_GE(dense, without);
  w.matches *= 100;
  EXPECT_EQ(estimate(spec, w).training_bytes, dense);
  EXPECT_LE(dense - without, w.loss_slab_count * 512 * kib);
  w.loss_slab_count = 12;
  EXPECT_GE(estimate(spec, w).training_bytes, dense);
  // 1000 classes instead of 80: the raw outputs and their gradients.
  const model_spec::ModelSpec few = shipped("yolov5n", 80);
  EXPECT_GT(without, estimate(few, workload_of(640, 1)).training_bytes + 2 * 25200 * 920 * 4);
}

TEST(MemoryModel, PadsGradientsForEveryRank) {
  const model_spec::ModelSpec spec = shipped("yolov5n");
  Workload w = workload_of(640, 1);
  const int64_t alone = estimate(spec, w).terms.gradients;
  w.world_size = 64;
  EXPECT_GT(estimate(spec, w).terms.gradients, alone);
  EXPECT_LT(estimate(spec, w).terms.gradients, alone + 64 * 64 * 16);
}

TEST(MemoryModel, LeavesTheCpuLibrarysWorkspaceOutOnCards) {
  const model_spec::ModelSpec spec = shipped("yolov5s");
  Workload w = workload_of(320, 1);
  w.recompute = all(spec, Recompute::block);
  const Estimate on_cpu = estimate(spec, w);
  w.device = DeviceKind::cuda;
  const Estimate on_card = estimate(spec, w);
  EXPECT_LT(on_card.training_bytes, on_cpu.training_bytes);
  EXPECT_EQ(on_card.state_bytes, on_cpu.state_bytes);
  EXPECT_EQ(kept_bytes(on_card), kept_bytes(on_cpu));
}

// As bytes; before multi-scale enlarges them.
TEST(MemoryModel, CountsThePicturesOfTwoIterationsOnCards) {
  const model_spec::ModelSpec spec = shipped("yolov5s");
  Workload w = workload_of(320, 1);
  w.imgsz_px = 256;
  w.device = DeviceKind::cuda;
  const Estimate without = estimate(spec, w);
  w.pictures_an_iteration = 4;
  const Estimate with = estimate(spec, w);
  EXPECT_EQ(with.training_bytes - without.training_bytes, 2 * 4 * 3 * 256 * 256);
  EXPECT_EQ(with.terms.input - without.terms.input, 2 * 4 * 3 * 256 * 256);
  w.device = DeviceKind::cpu;
  const Estimate on_cpu = estimate(spec, w);
  w.pictures_an_iteration = 0;
  EXPECT_EQ(on_cpu.training_bytes, estimate(spec, w).training_bytes);
}

TEST(MemoryModel, AnswersForEveryBlock) {
  const model_spec::ModelSpec spec = test::every_block("nn.SiLU()");
  const Workload w = workload_of(320, 2);
  const int64_t none = training_bytes(spec, w, Recompute::none);
  EXPECT_GT(none, training_bytes(spec, w, Recompute::activations));
  EXPECT_GT(none, training_bytes(spec, w, Recompute::block));
}

TEST(MemoryModel, AnswersTheSameAgain) {
  for (const char* name : shipped_names) {
    const model_spec::ModelSpec spec = shipped(name);
    Workload w = workload_of(1280, 4);
    for (const Recompute recompute : {Recompute::none, Recompute::activations, Recompute::block}) {
      w.recompute = all(spec, recompute);
      const Estimate first = estimate(spec, w), second = estimate(spec, w);
      EXPECT_EQ(first.allocator_bytes, second.allocator_bytes) << name;
      EXPECT_EQ(first.peak_at, second.peak_at) << name;
    }
  }
}

}  // namespace
}  // namespace yolodist::plan
