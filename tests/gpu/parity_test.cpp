// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
// One optimizer step on the card against the same step on the CPU: same weights, same pictures, each fed by
// its own loader.
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <ostream>
#include <string>
#include <vector>

#include "common/base/log.h"
#include "common/run/run_directory.h"
#include "tests/support/card.h"
#include "tests/support/temporary_folder.h"
#include "worker/train/shard_loader.h"
#include "worker/train/train_step.h"
#include "worker/train/update.h"

namespace yolodist {
namespace {

// In fp32. Losses of a forward differ by rounding only. Gradients go twice through some hundred layers, and
// batch norm over few values magnifies what rounding leaves: of a single parameter's norm up to some per
// cent, of all of them together much less.
constexpr double loss_tolerance = 1e-4;
constexpr double parameter_tolerance = 6e-2;
constexpr double whole_tolerance = 1e-2;
// In fp16 against fp32: ten bits a number. Batch norm over few values of a network that has learnt nothing
// magnifies its rounding to a good part of the gradient. In bf16, with three bits less, it is so much more:
// what is not rounding would not be less in fp16.
constexpr double half_loss_tolerance = 1e-2;

struct Setting {
  const char* model;
  int imgsz_px, batch, bn_group;
  bool freezes_bn = false;
};

void PrintTo(const Setting& run, std::ostream* stream) {
  *stream << run.model << " " << run.imgsz_px << " px";
}

// What a step comes to, on the host in double.
struct Step {
  loss::LossItems losses;
  std::vector<std::string> names;
  std::vector<at::Tensor> gradients, changes;  // of each parameter, before and by the step
};

at::Tensor on_host(const at::Tensor& tensor) {
  return tensor.detach().to(at::kCPU, at::kDouble).contiguous().clone();
}

double length(const at::Tensor& tensor) {
  return tensor.norm().item<double>();
}

std::vector<at::Tensor> parameters_of(const train::Training& t) {
  std::vector<at::Tensor> parameters;
  for (size_t i = 0; i < t.model->state.size(); ++i) {
    if (t.model->state.entries()[i].is_parameter()) {
      parameters.push_back(on_host(t.model->state[i]));
    }
  }
  return parameters;
}

std::unique_ptr<train::Training> training_on(const test::Card& card, const Setting& run,
                                             const std::string& precision, int seed,
                                             const std::string& run_folder) {
  protocol::Start start;
  start.run_directory = run_folder;
  start.threads = at::get_num_threads();
  start.options = test::card_options(run.model, run.imgsz_px, precision);
  start.options.global_batch = run.batch;
  start.options.bn_group = run.bn_group;
  start.options.seed = seed;
  start.options.no_autoanchor = true;
  start.options.freeze_bn = run.freezes_bn;
  train::Placement placement;
  placement.communicator = std::move(comm::make_local_communicators(1)[0]);
  test::move_to(card, placement);
  auto training = train::assemble(start, std::move(placement));
  if (training->scaler) {
    training->scaler->set_state({1024, 0});  // that the first steps of a new network do not have to lower
  }
  return training;
}

// The first iteration twice: once for losses and gradients, once more to make a step.
Step step_on(const test::Card& card, const Setting& run, const std::string& precision, int seed = 0) {
  const test::TemporaryFolder folder;
  const auto training =
      training_on(card, run, precision, seed,
                  run::create_run_directory(folder.path(), "exp", /*exist_ok=*/false).root.string());
  train::Training& t = *training;
  train::IterationPlan plan;
  const train::EpochCut cut = train::cut_of_batch(t, 0);
  plan.picture_count = cut.picture_count;
  plan.group_sizes = cut.group_sizes;
  plan.groups_of_rank = cut.groups_of_rank;
  plan.shape = train::shape_of_batch(t, 0);
  plan.settings.lr.fill(0.01);
  plan.settings.momentum = 0.9;
  train::ShardLoader loader(t);
  const std::vector<train::GroupBatch> groups = loader.next();

  Step step;
  t.reducer->zero();
  step.losses = train::run_iteration(t, plan, groups, {}).losses;
  const double scale = t.scaler ? t.scaler->scale().item<double>() : 1;
  const std::vector<at::Tensor> before = parameters_of(t);
  for (const auto& entry : t.model->state.entries()) {
    if (entry.is_parameter()) {
      step.gradients.push_back(on_host(t.reducer->gradient(step.names.size())) / scale);
      step.names.push_back(entry.name);
    }
  }
  t.reducer->zero();
  plan.makes_step = true;
  train::run_iteration(t, plan, groups, {});
  train::take_step_outcome(t);
  EXPECT_EQ(t.state.skipped_steps, 0);
  const std::vector<at::Tensor> after = parameters_of(t);
  for (size_t i = 0; i < after.size(); ++i) {
    step.changes.push_back(after[i] - before[i]);
  }
  return step;
}

// How far two lists of tensors are apart, as parts of the second one's norms.
struct Distance {
  double worst = 0, whole = 0;
  size_t worst_at = 0;
};
Distance distance(const std::vector<at::Tensor>& found, const std::vector<at::Tensor>& expected) {
  Distance apart;
  double apart_squares = 0, squares = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    const double difference = length(found[i] - expected[i]), own = length(expected[i]);
    apart_squares += difference * difference;
    squares += own * own;
    const double part = own > 0           ? difference / own
                        : difference == 0 ? 0
                                          : std::numeric_limits<double>::infinity();
    if (!(part <= apart.worst)) {  // what is no number counts as far
      apart.worst = part;
      apart.worst_at = i;
    }
  }
  apart.whole = std::sqrt(apart_squares / squares);
  return apart;
}

void expect_near_losses(const loss::LossItems& found, const loss::LossItems& expected, double tolerance) {
  EXPECT_NEAR(found.box, expected.box, tolerance * expected.box);
  EXPECT_NEAR(found.objectness, expected.objectness, tolerance * expected.objectness);
  EXPECT_NEAR(found.classes, expected.classes, tolerance * expected.classes);
  EXPECT_GT(expected.total(), 0);
}

class GpuParity : public ::testing::TestWithParam<Setting> {
 protected:
  void SetUp() override {
    log::configure({.console_level = log::Level::error, .prefix = ""});
    memory::install_counting_allocator();
    if (!card_.problem.empty()) {
      GTEST_SKIP() << card_.problem;
    }
    // TF32 has ten bits, too.
    at::globalContext().setAllowTF32CuDNN(false);
    at::globalContext().setAllowTF32CuBLAS(false);
  }
  const test::Card card_ = test::find_card();
  const test::Card cpu_ = test::find_card("cpu");
};

TEST_P(GpuParity, AStepInFp32IsTheCpus) {
  const Step expected = step_on(cpu_, GetParam(), "fp32"), found = step_on(card_, GetParam(), "fp32");
  expect_near_losses(found.losses, expected.losses, loss_tolerance);
  for (const auto& [what, apart] : {std::pair{"gradient", distance(found.gradients, expected.gradients)},
                                    std::pair{"change", distance(found.changes, expected.changes)}}) {
    EXPECT_LE(apart.worst, parameter_tolerance) << what << " of " << expected.names[apart.worst_at];
    EXPECT_LE(apart.whole, whole_tolerance) << what << " of all parameters";
    std::printf("%s: %s of all parameters %.1e apart, the worst %.1e (%s)\n", GetParam().model, what,
                apart.whole, apart.worst, expected.names[apart.worst_at].c_str());
  }
}

TEST_P(GpuParity, AStepInFp16IsNearTheCpusInFp32) {
  const Step expected = step_on(cpu_, GetParam(), "fp32"), found = step_on(card_, GetParam(), "fp16");
  expect_near_losses(found.losses, expected.losses, half_loss_tolerance);
  const Distance apart = distance(found.gradients, expected.gradients);
  const Distance rougher = distance(step_on(card_, GetParam(), "bf16").gradients, expected.gradients);
  EXPECT_LT(apart.whole, rougher.whole / 2);
  std::printf("%s: gradient of all parameters in fp16 %.1e apart, in bf16 %.1e\n", GetParam().model,
              apart.whole, rougher.whole);
}

// A card computes it by another way than where batch norm measures. The signal dies in a new network whose
// statistics are not measured, so its gradients are not compared.
TEST_F(GpuParity, AStepWithFrozenBatchNormIsTheCpus) {
  const Setting run{"yolov5n", 64, 2, 2, /*freezes_bn=*/true};
  for (const char* precision : {"fp32", "fp16"}) {
    const Step expected = step_on(cpu_, run, "fp32"), found = step_on(card_, run, precision);
    expect_near_losses(found.losses, expected.losses, half_loss_tolerance);
  }
}

constexpr Setting settings[] = {{"yolov5n", 320, 4, 2}, {"yolov5s6", 320, 2, 2}};

INSTANTIATE_TEST_SUITE_P(Models, GpuParity, ::testing::ValuesIn(settings),
                         [](const auto& tested) { return std::string(tested.param.model); });

// The tests above could not fail otherwise.
TEST_F(GpuParity, TellsOtherWeightsApart) {
  const Setting run{"yolov5n", 64, 2, 2};
  const Step one = step_on(card_, run, "fp32"), other = step_on(card_, run, "fp32", /*seed=*/1);
  EXPECT_GT(distance(one.gradients, other.gradients).whole, 10 * whole_tolerance);
  EXPECT_GT(std::abs(one.losses.total() - other.losses.total()), loss_tolerance * one.losses.total());
}

}  // namespace
}  // namespace yolodist
