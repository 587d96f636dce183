// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
// A run that is interrupted and goes on ends where an uninterrupted one ends.
#include <ATen/ops/allclose.h>
#include <ATen/ops/ones.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "common/base/atomic_file.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/text.h"
#include "common/run/ownership.h"
#include "common/run/run_directory.h"
#include "tests/support/local_training.h"
#include "tests/support/temporary_folder.h"
#include "worker/checkpoint/checkpoint.h"
#include "worker/train/saving.h"

namespace yolodist {
namespace {

class ResumeTest : public ::testing::Test {
 protected:
  void SetUp() override { log::configure({.console_level = log::Level::error, .prefix = ""}); }

  // 16 pictures in batches of 3: an epoch of 6 iterations, the last with one picture.
  static config::TrainOptions options() {
    config::TrainOptions options = test::sample_options(64);
    options.global_batch = 3;
    options.bn_group = 3;
    options.epochs = 4;
    return options;
  }

  run::RunDirectory new_run() const { return run::create_run_directory(folder_.path(), "exp", false); }

  static uint64_t weights_of(const test::LocalRun& run) {
    return model::fingerprint(run.ranks[0]->model->state);
  }
  static uint64_t average_of(const test::LocalRun& run) {
    return model::fingerprint(run.ranks[0]->ema->model().state);
  }

  test::TemporaryFolder folder_;
};

TEST_F(ResumeTest, GoesOnInTheMiddleOfAnEpochBitForBit) {
  config::TrainOptions whole = options();
  whole.accumulate = 1;
  whole.max_steps = 16;
  const auto straight = test::train_locally(whole, 1, new_run().root.string());
  EXPECT_EQ(straight.ranks[0]->state.step, 16);

  config::TrainOptions half = whole;
  half.max_steps = 8;
  const auto run = new_run();
  EXPECT_EQ(test::train_locally(half, 1, run.root.string()).exit_code, ExitCode::ok);
  const auto resumed = test::train_locally(whole, 1, run.root.string(), run.weights_last().string());
  EXPECT_EQ(resumed.ranks[0]->state.step, 16);
  EXPECT_EQ(weights_of(resumed), weights_of(straight));
  EXPECT_EQ(average_of(resumed), average_of(straight));
}

TEST_F(ResumeTest, AStopInAnUnfinishedStepLosesNothing) {
  config::TrainOptions accumulating = options();
  accumulating.accumulate = 40;  // grows from 1 to 40 over the 100 iterations of warm-up
  accumulating.epochs = 20;
  accumulating.max_iterations = 60;
  const auto straight = test::train_locally(accumulating, 1, new_run().root.string());

  const auto run = new_run();
  const auto stopped = test::train_locally(accumulating, 1, run.root.string(), "", 27);
  EXPECT_EQ(stopped.exit_code, ExitCode::state_saved);
  EXPECT_NE(stopped.ranks[0]->state.last_step_iteration, stopped.ranks[0]->iteration() - 1)
      << "the step is unfinished";
  const auto resumed = test::train_locally(accumulating, 1, run.root.string(), run.weights_last().string());
  EXPECT_EQ(weights_of(resumed), weights_of(straight));
}

TEST_F(ResumeTest, AStopOnOneRankStopsAllAtOneIteration) {
  const auto run = new_run();
  const auto stopped = test::train_locally(options(), 3, run.root.string(), "", 7);
  EXPECT_EQ(stopped.exit_code, ExitCode::state_saved);
  for (const auto& rank : stopped.ranks) {
    EXPECT_EQ(rank->iteration(), 8);
  }
  EXPECT_EQ(checkpoint::read_checkpoint(run.weights_last()).meta.at("iteration"), 8);
}

TEST_F(ResumeTest, GoesOnWithOtherRanks) {
  config::TrainOptions whole = options();
  whole.precision = "fp64";
  whole.bn_group = 1;
  whole.max_iterations = 12;
  const auto straight = test::train_locally(whole, 1, new_run().root.string());
  config::TrainOptions half = whole;
  half.max_iterations = 5;
  const auto run = new_run();
  test::train_locally(half, 2, run.root.string());
  const auto resumed = test::train_locally(whole, 3, run.root.string(), run.weights_last().string());
  const auto& expected = straight.ranks[0]->model->state;
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_TRUE(at::allclose(resumed.ranks[0]->model->state[i].detach(), expected[i].detach(), 1e-8, 1e-10))
        << expected.entries()[i].name;
  }
}

TEST_F(ResumeTest, FilesGoOnWithoutGapOrRepeat) {
  config::TrainOptions whole = options();
  whole.epochs = 3;
  whole.no_val = false;
  const auto straight = new_run();
  test::train_locally(whole, 1, straight.root.string());

  const auto run = new_run();
  test::train_locally(whole, 1, run.root.string(), "", 9);
  // A row and lines that a killed run had written past its last checkpoint.
  std::ofstream(run.metrics_jsonl(), std::ios::app) << R"({"type":"iteration","iteration":10,"attempt":1})"
                                                    << "\n{\"type\":";
  test::train_locally(whole, 1, run.root.string(), run.weights_last().string());
  EXPECT_EQ(read_file(run.results_csv()), read_file(straight.results_csv()));
  std::ifstream metrics(run.metrics_jsonl());
  int expected_iteration = 0;
  for (std::string line; std::getline(metrics, line);) {
    const auto row = nlohmann::json::parse(line);
    if (row.at("type") == "iteration") {
      EXPECT_EQ(row.at("iteration"), expected_iteration++);
    }
  }
  EXPECT_EQ(expected_iteration, 18);
}

TEST_F(ResumeTest, RefusesWeightsWithoutState) {
  const auto run = new_run();
  checkpoint::Checkpoint weights;
  weights.model = {{"model.0.conv.weight", at::ones({1})}};
  checkpoint::write_checkpoint(run.weights_last(), weights);
  EXPECT_THROW(test::train_locally(options(), 1, run.root.string(), run.weights_last().string()), DataError);
}

TEST_F(ResumeTest, AStaleRunWritesNothing) {
  config::TrainOptions short_run = options();
  short_run.max_steps = 2;
  const auto run = new_run();
  auto first = test::train_locally(short_run, 1, run.root.string());
  run::claim_run(run);  // another job takes over
  const std::string before = read_file(run.weights_last());
  first.ranks[0]->options.max_steps = 4;
  const train::LaunchLink link{.stop_reason = [] { return ""; }, .send_progress = [](const auto&) {}};
  EXPECT_THROW(train::train(*first.ranks[0], link), train::RunTakenOver);
  EXPECT_EQ(read_file(run.weights_last()), before);
}

TEST_F(ResumeTest, StartsFromItsOwnWeights) {
  config::TrainOptions short_run = options();
  short_run.max_steps = 2;
  const auto run = new_run();
  test::train_locally(short_run, 1, run.root.string());
  config::TrainOptions tuned = options();
  tuned.weights = run.weights_last().string();
  tuned.cfg = "";
  tuned.max_iterations = 1;
  const auto second = test::train_locally(tuned, 1, new_run().root.string());
  EXPECT_EQ(second.ranks[0]->model->spec.name, "yolov5n");
}

}  // namespace
}  // namespace yolodist
