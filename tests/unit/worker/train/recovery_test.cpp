// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
// A run that runs out of memory ends where one ends that does not. Budgets are those of the process, so there
// is one rank here; several are in several_ranks_recovery_test.cpp and, as programs, in
// tests/fault/out_of_memory.py.
#include "worker/train/recovery.h"

#include <gmock/gmock.h>

#include "common/base/log.h"
#include "common/base/text.h"
#include "common/run/memory_report.h"
#include "tests/unit/worker/train/recorded_run.h"

namespace yolodist {
namespace {

using test::record_run;
using test::RecordedRun;
using testing::Contains;
using testing::HasSubstr;

constexpr int64_t mib = 1 << 20;

class RecoveryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    log::configure({.console_level = log::Level::error, .prefix = ""});
    memory::install_counting_allocator();
    before_bytes_ = memory::counters().current_bytes;
  }
  void TearDown() override {
    memory::set_budget(0);
    EXPECT_EQ(memory::counters().current_bytes, before_bytes_) << "every run gives back what it took";
    EXPECT_EQ(memory::counters().charged_bytes, 0);
  }

  // 16 pictures in batches of 3 and BN groups of 2: an epoch of 6 iterations, the last with one picture.
  static config::TrainOptions options() {
    config::TrainOptions options = test::sample_options(64);
    options.global_batch = 3;
    options.bn_group = 2;
    options.accumulate = 1;
    options.max_iterations = 8;
    options.no_plots = true;
    return options;
  }
  // Steps after iterations 0, 1, 3, 6: the accumulation grows over the iterations of warm-up.
  static config::TrainOptions accumulating_options() {
    config::TrainOptions accumulating = options();
    accumulating.accumulate = 40;
    return accumulating;
  }

  // Room for the plain plan, and somewhat more.
  static int64_t budget_bytes(const RecordedRun& plain) {
    return plain.own().estimate.allocator_bytes * 102 / 100 + mib;
  }
  static config::TrainOptions with_shortage(config::TrainOptions options, const RecordedRun& plain,
                                            const std::string& shortage) {
    options.device_memory = std::to_string(budget_bytes(plain));
    options.inject_shortage = shortage;
    return options;
  }

  static config::TrainOptions with_recompute(config::TrainOptions options, const std::string& recompute) {
    options.recompute = recompute;
    return options;
  }

  int64_t before_bytes_ = 0;
};

void expect_equal_runs(const RecordedRun& found, const RecordedRun& expected) {
  ASSERT_EQ(found.tensors.size(), expected.tensors.size());
  for (const auto& [name, hash] : expected.tensors) {
    EXPECT_EQ(found.tensors.at(name), hash) << name;
  }
  ASSERT_EQ(found.rows.size(), expected.rows.size());
  for (const auto& [iteration, row] : expected.rows) {
    for (const char* key : {"loss", "lr", "epoch", "step", "global_batch"}) {
      EXPECT_EQ(found.rows.at(iteration).at(key), row.at(key)) << key << " of iteration " << iteration;
    }
    EXPECT_EQ(found.rows.at(iteration).at("ranks")[0].at("allocated_bytes"),
              row.at("ranks")[0].at("allocated_bytes"))
        << "held between iterations, at " << iteration;
  }
  EXPECT_EQ(found.state.step, expected.state.step);
  EXPECT_EQ(found.state.last_step_iteration, expected.state.last_step_iteration);
  EXPECT_EQ(found.state.epoch_sum.total(), expected.state.epoch_sum.total());
  EXPECT_EQ(found.state.epoch_iterations, expected.state.epoch_iterations);
}

std::vector<std::string> shortages_of(const RecordedRun& run) {
  std::vector<std::string> details;
  for (const auto& event : run.events) {
    if (event.at("event") == "out_of_memory") {
      details.push_back(event.at("detail").get<std::string>());
    }
  }
  return details;
}

// One answered shortage, where it was made and readable.
void expect_reported(const RecordedRun& run, const std::string& phase, int iteration, int replayed_from) {
  ASSERT_EQ(run.memory_reports.size(), 1u);
  const nlohmann::json& report = run.memory_reports[0];
  EXPECT_EQ(report.at("schema"), 1);
  EXPECT_EQ(report.at("rank"), 0);
  EXPECT_EQ(report.at("phase"), phase);
  EXPECT_EQ(report.at("iteration"), iteration);
  EXPECT_GT(report.at("requested_bytes"), report.at("free_bytes"));
  EXPECT_EQ(report.at("budget_bytes"), report.at("ranks")[0].at("budget_bytes"));
  EXPECT_FALSE(report.at("pictures").empty());
  EXPECT_FALSE(report.at("holders").empty());
  EXPECT_FALSE(report.at("remedies").empty());
  EXPECT_THAT(run::headline_of(report), HasSubstr(phase));
  EXPECT_THAT(run::text_of(report), Contains(HasSubstr("other"))) << "who took the memory";
  const std::vector<std::string> details = shortages_of(run);
  ASSERT_EQ(details.size(), 1u);
  EXPECT_THAT(details[0], HasSubstr("rank 0 ran out of memory in " + phase));
  EXPECT_THAT(details[0], HasSubstr(cat("replaying from iteration ", replayed_from)));
  ASSERT_EQ(run.plan_file.size(), 2u);
  EXPECT_EQ(run.plan_file[0].at("since_iteration"), 0);
  EXPECT_EQ(run.plan_file[1].at("since_iteration"), replayed_from);
  const auto peak = [&](size_t plan) {
    return run.plan_file[plan].at("plan").at("ranks")[0].at("peak_bytes").at("allocator").get<int64_t>();
  };
  EXPECT_LT(peak(1), peak(0));
}

struct Point {
  int iteration = 0, replayed_from = 0;
};

class RecoveryIn : public RecoveryTest, public ::testing::WithParamInterface<const char*> {
 protected:
  // Bytes left of the budget when the phase begins.
  static int64_t left_bytes(const RecordedRun& plain) {
    const std::string phase = GetParam();
    return phase == "forward" ? plain.own().estimate.terms.activations / 2 : phase == "loss" ? 2048 : 4096;
  }
  static void expect_no_trace(const config::TrainOptions& options, const std::vector<Point>& points) {
    const std::string phase = GetParam();
    const RecordedRun plain = record_run(options, 1);
    const RecordedRun blocks = record_run(with_recompute(options, "blocks"), 1);
    expect_equal_runs(blocks, plain);
    for (const Point& point : points) {
      SCOPED_TRACE(cat(phase, ", iteration ", point.iteration));
      const std::string shortage = cat("0:", phase, ":", point.iteration, ":", left_bytes(plain));
      const RecordedRun disturbed = record_run(with_shortage(options, plain, shortage), 1);
      expect_equal_runs(disturbed, plain);
      expect_reported(disturbed, phase, point.iteration, point.replayed_from);
    }
  }
};
INSTANTIATE_TEST_SUITE_P(Phases, RecoveryIn, ::testing::Values("forward", "loss", "backward", "optimizer"),
                         [](const auto& tested) { return std::string(tested.param); });

TEST_P(RecoveryIn, LeavesNoTrace) {
  expect_no_trace(options(), {{0, 0}, {3, 3}, {7, 7}});
}

TEST_P(RecoveryIn, AnUnfinishedStepLeavesNoTrace) {
  expect_no_trace(accumulating_options(), {{2, 2}, {3, 2}, {5, 4}, {6, 6}});
}

TEST_F(RecoveryTest, KeepsTheOptimizersSecondStateToo) {
  config::TrainOptions adam = options();
  adam.optimizer = "AdamW";
  const RecordedRun plain = record_run(adam, 1);
  expect_equal_runs(record_run(with_shortage(adam, plain, "0:backward:4:4096"), 1), plain);
}

TEST_F(RecoveryTest, NamesTheLayerThatAsked) {
  const RecordedRun plain = record_run(options(), 1);
  const int64_t half = plain.own().estimate.terms.activations / 2;
  const RecordedRun disturbed = record_run(with_shortage(options(), plain, cat("0:forward:1:", half)), 1);
  const nlohmann::json& report = disturbed.memory_reports.at(0);
  const int layer = report.at("layer");
  EXPECT_GE(layer, 1);
  EXPECT_THAT(report.at("piece").get<std::string>(), testing::StartsWith(cat("model.", layer)));
  EXPECT_EQ(report.at("shape")[0], 2) << "pictures of the group";
}

// The gradients of a step that an earlier attempt began are in its checkpoint. This step takes iterations 7
// to 11, all of one epoch, so that what was gathered before the stop counts.
TEST_F(RecoveryTest, AfterAResumeInsideAStepLeavesNoTrace) {
  config::TrainOptions whole = accumulating_options();
  whole.max_iterations = 12;
  const RecordedRun plain = record_run(whole, 1);
  ASSERT_EQ(plain.state.last_step_iteration, 11);
  for (const auto& [phase, iteration] :
       {std::pair{"forward", 9}, {"backward", 9}, {"backward", 10}, {"optimizer", 11}}) {
    SCOPED_TRACE(cat(phase, ", iteration ", iteration));
    const test::TemporaryFolder folder;
    const run::RunDirectory directory = run::create_run_directory(folder.path(), "exp", false);
    const RecordedRun stopped = record_run(whole, 1, directory, "", 8);
    ASSERT_EQ(stopped.exit_code, ExitCode::state_saved);
    ASSERT_EQ(stopped.rows.rbegin()->first, 8);
    ASSERT_EQ(stopped.state.last_step_iteration, 6) << "two iterations of the step are done";
    const config::TrainOptions resuming =
        with_shortage(whole, plain, cat("0:", phase, ":", iteration, ":4096"));
    const RecordedRun resumed = record_run(resuming, 1, directory, directory.weights_last().string());
    EXPECT_EQ(resumed.memory_reports.size(), 1u);
    EXPECT_THAT(shortages_of(resumed), Contains(HasSubstr("replaying from iteration 9")))
        << "not from before the attempt";
    expect_equal_runs(resumed, plain);
  }
}

TEST_F(RecoveryTest, GoesOnWithLessForGood) {
  const RecordedRun plain = record_run(options(), 1);
  const plan::Estimate& need = plain.own().estimate;
  const int64_t lost = budget_bytes(plain) - need.training_bytes + need.terms.activations / 3;
  const RecordedRun reduced = record_run(with_shortage(options(), plain, cat("0:reserve:2:", lost)), 1);
  EXPECT_FALSE(shortages_of(reduced).empty());
  EXPECT_NE(reduced.own().recompute, plain.own().recompute);
  ASSERT_EQ(reduced.rows.size(), plain.rows.size());
  for (const auto& [iteration, row] : plain.rows) {
    EXPECT_EQ(reduced.rows.at(iteration).at("loss"), row.at("loss")) << iteration;
  }
  EXPECT_EQ(reduced.tensors, plain.tensors);
}

TEST_F(RecoveryTest, EndsWithTheReportWhenNothingIsLeftToTry) {
  const config::TrainOptions fixed = with_recompute(options(), "blocks");
  const RecordedRun plain = record_run(fixed, 1);
  const test::TemporaryFolder folder;
  const run::RunDirectory directory = run::create_run_directory(folder.path(), "exp", false);
  try {
    record_run(with_shortage(fixed, plain, "0:backward:2:4096"), 1, directory);
    ADD_FAILURE() << "there is no other plan with --recompute blocks";
  } catch (const train::MemoryExhausted& end) {
    EXPECT_EQ(end.exit_code(), ExitCode::out_of_memory);
    EXPECT_THAT(end.one_line(), HasSubstr("rank 0 ran out of memory in backward of model."));
    EXPECT_THAT(end.one_line(), HasSubstr("smallest budget that would do"));
    EXPECT_EQ(end.memory().at("iteration"), 2);
    EXPECT_EQ(nlohmann::json::parse(read_file(directory.memory_report(0, 0, 0))).at("iteration"), 2);
  }
}

TEST_F(RecoveryTest, InValidationHalvesItsPictures) {
  config::TrainOptions validating = options();
  validating.no_val = false;
  validating.epochs = 2;
  validating.max_iterations = 0;
  const RecordedRun plain = record_run(validating, 1);
  const RecordedRun disturbed = record_run(with_shortage(validating, plain, "0:validation:5:1MiB"), 1);
  ASSERT_EQ(disturbed.memory_reports.size(), 1u);
  const nlohmann::json& report = disturbed.memory_reports[0];
  EXPECT_EQ(report.at("phase"), "validation");
  EXPECT_EQ(report.at("validation_pictures"), 6) << "twice the batch";
  EXPECT_THAT(run::headline_of(report), HasSubstr("validation"));
  EXPECT_EQ(disturbed.plan_file.size(), 1u) << "training goes on as it was";
  for (const auto& [name, hash] : plain.tensors) {
    EXPECT_EQ(disturbed.tensors.at(name), hash) << name;
  }
  ASSERT_EQ(disturbed.rows.size(), plain.rows.size());
  for (const auto& [iteration, row] : plain.rows) {
    EXPECT_EQ(disturbed.rows.at(iteration).at("loss"), row.at("loss")) << iteration;
  }
  const loss::LossItems& found = disturbed.state.last_validation.losses;
  const loss::LossItems& expected = plain.state.last_validation.losses;
  EXPECT_NEAR(found.total(), expected.total(), 1e-4 * expected.total());
  EXPECT_NEAR(disturbed.state.last_validation.map, plain.state.last_validation.map, 1e-6);
}

}  // namespace
}  // namespace yolodist
