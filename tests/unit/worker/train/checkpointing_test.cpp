// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
// Checkpoints beside the training, and what happens when they, or the pictures, cannot be had.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "common/base/log.h"
#include "tests/support/thrown.h"
#include "tests/unit/worker/train/recorded_run.h"
#include "worker/checkpoint/checkpoint.h"
#include "worker/checkpoint/kept_checkpoints.h"
#include "worker/memory/mark.h"
#include "worker/train/checkpointing.h"

namespace yolodist {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

class CheckpointingTest : public ::testing::Test {
 protected:
  void SetUp() override {
    log::configure({.console_level = log::Level::error, .prefix = ""});
    memory::install_counting_allocator();
  }

  // 16 pictures in batches of 4: an epoch of 4 iterations, a checkpoint after each.
  static config::TrainOptions options() {
    config::TrainOptions options = test::sample_options(64);
    options.global_batch = 4;
    options.bn_group = 2;
    options.accumulate = 1;
    options.epochs = 3;
    options.no_plots = true;
    options.checkpoint_every_steps = 1;
    return options;
  }
  run::RunDirectory new_run() const { return run::create_run_directory(folder_.path(), "exp", false); }

  // One rank, in the middle of a run of which nothing is saved yet.
  std::unique_ptr<train::Training> begun(const run::RunDirectory& run) const {
    config::TrainOptions few = options();
    few.max_iterations = 2;
    few.checkpoint_every_steps = 0;
    test::LocalRun local = test::train_locally(few, 1, run.root.string());
    for (const auto& file : run::kept_checkpoints(run.weights_last())) {
      fs::remove(file);
    }
    return std::move(local.ranks[0]);
  }

  static std::vector<std::string> events(const run::RunDirectory& run, const std::string& name) {
    std::vector<std::string> details;
    std::ifstream metrics(run.metrics_jsonl());
    for (std::string line; std::getline(metrics, line);) {
      const auto row = nlohmann::json::parse(line);
      if (row.value("event", "") == name) {
        details.push_back(row.at("detail"));
      }
    }
    return details;
  }

  test::TemporaryFolder folder_;
};

TEST_F(CheckpointingTest, SavesTheStateAsItWasAtTheCall) {
  const auto run = new_run();
  const auto t = begun(run);
  const at::Tensor weight = t->model->state[0].detach();
  const at::Tensor before = weight.clone();
  {
    train::Checkpointing checkpoints(*t, nullptr, nullptr);
    checkpoints.save({.is_best = true, .epoch_number = 5});
    weight.fill_(7);  // the training goes on
  }
  for (const fs::path& file : {run.weights_last(), run.weights_best(), run.weights_epoch(5)}) {
    EXPECT_TRUE(checkpoint::read_checkpoint(file).model[0].second.equal(before)) << file;
  }
}

TEST_F(CheckpointingTest, TheCopyIsNotPartOfTheBudget) {
  const auto run = new_run();
  const auto t = begun(run);
  train::Checkpointing checkpoints(*t, nullptr, nullptr);
  const memory::Counters before = memory::counters();
  memory::reset_peak();
  checkpoints.save({});
  checkpoints.save({});  // waits for the first
  const memory::Counters after = memory::counters();
  EXPECT_LT(after.peak_bytes - before.current_bytes, 1 << 16);
  EXPECT_GT(after.host_peak_bytes - before.host_bytes, int64_t{3} * 4 * 1700000)
      << "model, average, momentum";
}

TEST_F(CheckpointingTest, ABestThatIsOwedComesWithTheNextCheckpoint) {
  const auto run = new_run();
  const auto t = begun(run);
  t->options.max_checkpoint_failures = 10;
  const at::Tensor weight = t->model->state[0].detach();
  const at::Tensor best = weight.clone();
  train::Checkpointing checkpoints(*t, nullptr, nullptr);
  fs::rename(run.weights_folder(), folder_ / "away");
  checkpoints.save({.is_best = true});
  weight.fill_(7);
  checkpoints.save({});
  EXPECT_FALSE(checkpoints.must_end());
  fs::rename(folder_ / "away", run.weights_folder());
  checkpoints.save_finally({});
  EXPECT_TRUE(checkpoint::read_checkpoint(run.weights_best()).model[0].second.equal(best));
  EXPECT_TRUE(checkpoint::read_checkpoint(run.weights_last()).model[0].second.equal(weight));
}

TEST_F(CheckpointingTest, GivesUpAfterSoManyFailuresInARow) {
  const auto run = new_run();
  const auto t = begun(run);
  t->options.max_checkpoint_failures = 3;
  train::Checkpointing checkpoints(*t, nullptr, nullptr);
  fs::rename(run.weights_folder(), folder_ / "away");
  checkpoints.save({});
  checkpoints.save({});
  EXPECT_FALSE(checkpoints.must_end()) << "one or two failures so far";
  fs::rename(folder_ / "away", run.weights_folder());
  checkpoints.save_finally({});
  fs::rename(run.weights_folder(), folder_ / "away");
  checkpoints.save({});
  checkpoints.save({});
  EXPECT_FALSE(checkpoints.must_end()) << "they are counted anew after one that was written";
  checkpoints.save({});
  checkpoints.save({});  // waits for the third in a row
  EXPECT_TRUE(checkpoints.must_end());
  EXPECT_THAT(test::thrown<StorageError>([&] { checkpoints.end_for_storage(); }),
              AllOf(HasSubstr("3 checkpoints in a row"), HasSubstr("last.pt of iteration 2, "),
                    HasSubstr("--resume")));
}

TEST_F(CheckpointingTest, AllRanksEndAlikeWhenCheckpointsFail) {
  const auto run = new_run();
  fs::remove_all(run.weights_folder());
  config::TrainOptions failing = options();
  failing.max_checkpoint_failures = 2;
  EXPECT_THAT(test::thrown<StorageError>([&] { test::train_locally(failing, 2, run.root.string()); }),
              AllOf(HasSubstr("2 checkpoints in a row could not be written"),
                    HasSubstr("there is no good checkpoint yet")));
  EXPECT_EQ(events(run, "checkpoint_failed").size(), 2u);
}

TEST_F(CheckpointingTest, AFinalCheckpointThatFailsEndsAllRanks) {
  const auto run = new_run();
  fs::remove_all(run.weights_folder());
  config::TrainOptions failing = options();
  failing.checkpoint_every_steps = 0;
  failing.max_iterations = 2;
  EXPECT_THAT(test::thrown<StorageError>([&] { test::train_locally(failing, 2, run.root.string()); }),
              HasSubstr("the last checkpoint of the run cannot be written"));
}

TEST_F(CheckpointingTest, EarlierCheckpointsOfARunThatIsReplacedDoNotStay) {
  const auto run = new_run();
  config::TrainOptions few = options();
  few.max_iterations = 4;
  test::train_locally(few, 1, run.root.string());
  EXPECT_TRUE(fs::exists(run::kept_checkpoints(run.weights_last())[1]));
  few.max_iterations = 1;
  few.checkpoint_every_steps = 0;
  test::train_locally(few, 1, run.root.string());  // --exist-ok
  EXPECT_EQ(checkpoint::read_checkpoint(run.weights_last()).meta.at("iteration"), 1);
  EXPECT_FALSE(fs::exists(run::kept_checkpoints(run.weights_last())[1]));
}

}  // namespace
}  // namespace yolodist
