// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
// Whole runs under every recompute policy: the same weights, within their plans.
#include <gmock/gmock.h>

#include "common/base/log.h"
#include "common/base/text.h"
#include "tests/support/measured_kernels.h"
#include "tests/unit/worker/train/recorded_run.h"
#include "worker/train/validation.h"

namespace yolodist {
namespace {

using plan::Recompute;
using test::record_run;
using test::RecordedRun;

class RunMemory : public ::testing::Test {
 protected:
  void SetUp() override {
    log::configure({.console_level = log::Level::error, .prefix = ""});
    memory::install_counting_allocator();
  }
  void TearDown() override { memory::set_budget(0); }

  static config::TrainOptions options(int imgsz_px, const std::string& recompute) {
    config::TrainOptions options = test::sample_options(imgsz_px);
    options.global_batch = 2;
    options.accumulate = 1;
    options.recompute = recompute;
    options.no_plots = true;
    return options;
  }
};

void expect_same(const RecordedRun& found, const RecordedRun& expected) {
  EXPECT_EQ(found.tensors, expected.tensors);
  ASSERT_EQ(found.rows.size(), expected.rows.size());
  for (const auto& [iteration, row] : expected.rows) {
    EXPECT_EQ(found.rows.at(iteration).at("loss"), row.at("loss")) << iteration;
  }
}

TEST_F(RunMemory, TenStepsGiveTheSameWeightsUnderEveryPolicy) {
  const auto ten_steps = [](const std::string& recompute) {
    config::TrainOptions ten = options(96, recompute);
    ten.max_steps = 10;
    return ten;
  };
  const RecordedRun plain = record_run(ten_steps("none"), 1);
  ASSERT_EQ(plain.rows.size(), 10u);
  expect_same(record_run(ten_steps("activations"), 1), plain);
  expect_same(record_run(ten_steps("blocks"), 1), plain);
  // A budget that makes the planner choose layer by layer.
  const plan::Estimate& need = plain.own().estimate;
  config::TrainOptions planned = ten_steps("auto");
  planned.device_memory =
      std::to_string(need.state_bytes + (need.training_bytes - need.state_bytes) * 8 / 10);
  const RecordedRun mixed = record_run(planned, 1);
  const plan::RecomputePlan& chosen = mixed.own().recompute;
  EXPECT_THAT(chosen, testing::Contains(Recompute::none));
  EXPECT_THAT(chosen, testing::Contains(testing::Ne(Recompute::none)));
  EXPECT_TRUE(mixed.memory_reports.empty()) << "within its budget";
  expect_same(mixed, plain);
}

TEST_F(RunMemory, InBf16PoliciesGiveTheSameWeights) {
  const auto three_steps = [](const std::string& recompute) {
    config::TrainOptions three = options(64, recompute);
    three.precision = "bf16";
    three.max_steps = 3;
    return record_run(three, 1);
  };
  const RecordedRun plain = three_steps("none");
  expect_same(three_steps("activations"), plain);
  expect_same(three_steps("blocks"), plain);
}

// fp64 is for exact comparisons: its convolutions unfold whole batches, which is not planned for.
struct Setting {
  const char* recompute;
  const char* optimizer;
  const char* precision;
};

class RunMemoryOf : public RunMemory, public ::testing::WithParamInterface<Setting> {
 protected:
  void SetUp() override {
    const bool is_bf16 = std::string_view(GetParam().precision) == "bf16";
    if (const std::string why = test::other_kernels(is_bf16); !why.empty()) {
      GTEST_SKIP() << why;
    }
    RunMemory::SetUp();
  }
};
INSTANTIATE_TEST_SUITE_P(Settings, RunMemoryOf,
                         ::testing::Values(Setting{"none", "SGD", "fp32"},
                                           Setting{"activations", "AdamW", "fp32"},
                                           Setting{"blocks", "SGD", "fp32"},
                                           Setting{"blocks", "Adam", "bf16"}, Setting{"none", "SGD", "bf16"}),
                         [](const auto& tested) {
                           return cat(tested.param.recompute, tested.param.optimizer, tested.param.precision);
                         });

TEST_P(RunMemoryOf, TrainingHoldsWhatItsPlanSays) {
  config::TrainOptions two = options(320, GetParam().recompute);
  two.optimizer = GetParam().optimizer;
  two.precision = GetParam().precision;
  two.max_iterations = 2;
  const RecordedRun run = record_run(two, 1);
  const plan::Estimate& planned = run.own().estimate;
  for (const auto& [iteration, row] : run.rows) {
    const auto measured = row.at("ranks")[0].at("peak_bytes").get<double>();
    EXPECT_LE(measured, static_cast<double>(planned.training_bytes)) << planned.peak_at;
    EXPECT_GE(measured, static_cast<double>(planned.training_bytes) * 0.98) << planned.peak_at;
  }
}

// Over all groups of the validation pictures, the largest among them.
TEST_P(RunMemoryOf, ValidationStaysWithinItsPlan) {
  config::TrainOptions one = options(320, GetParam().recompute);
  one.optimizer = GetParam().optimizer;
  one.precision = GetParam().precision;
  one.max_iterations = 1;
  one.val_batch = 4;
  const test::TemporaryFolder folder;
  const test::LocalRun run =
      test::train_locally(one, 1, run::create_run_directory(folder.path(), "exp", false).root.string());
  train::Training& training = *run.ranks[0];
  memory::reset_peak();
  train::validate(training, training.ema->model());
  const auto measured = static_cast<double>(memory::counters().peak_bytes);
  const auto planned = static_cast<double>(training.plan.ranks[0].estimate.validation_bytes);
  EXPECT_LE(measured, planned);
  EXPECT_GE(measured, planned * 0.98);
}

}  // namespace
}  // namespace yolodist
