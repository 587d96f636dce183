// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
// What ranks agree on after one of them ran out of memory. The shortage is made up: threads share one budget.
#include <ATen/TensorOperators.h>
#include <c10/core/GradMode.h>
#include <gmock/gmock.h>

#include <thread>

#include "common/base/atomic_file.h"
#include "common/base/log.h"
#include "common/run/run_directory.h"
#include "tests/support/local_training.h"
#include "tests/support/temporary_folder.h"
#include "worker/train/recovery.h"

namespace yolodist::train {
namespace {

using testing::HasSubstr;

constexpr int world_size = 3;
constexpr int64_t gib = int64_t{1} << 30;

// How a rank came out of answer_shortage.
struct Answer {
  std::string line;
  std::exception_ptr failure;
};

class SeveralRanksRecovery : public ::testing::Test {
 protected:
  void SetUp() override {
    log::configure({.console_level = log::Level::error, .prefix = ""});
    memory::install_counting_allocator();
  }
  void TearDown() override { memory::set_budget(0); }

  // Three ranks after some iterations, inside an unfinished step.
  void train(const std::string& recompute, const std::vector<int>& shard) {
    config::TrainOptions options = test::sample_options(64);
    options.global_batch = 5;
    options.bn_group = 2;
    options.accumulate = 40;
    options.max_iterations = 3;
    options.recompute = recompute;
    options.shard = shard;
    options.device_memory = std::to_string(gib);
    options.no_plots = true;
    directory_ = run::create_run_directory(folder_.path(), "exp", false);
    run_ = test::train_locally(options, world_size, directory_.root.string());
    for (const auto& rank : run_.ranks) {
      ASSERT_LT(rank->state.last_step_iteration, rank->iteration() - 1);
    }
  }

  static IterationResult result_of(int rank, const std::vector<int>& who_ran_out) {
    IterationResult result;
    result.ran_out = true;
    for (int other = 0; other < world_size; ++other) {
      const bool ran_out = std::count(who_ran_out.begin(), who_ran_out.end(), other) > 0;
      result.ranks.push_back({.ran_out = ran_out, .current_bytes = 100 + other, .peak_bytes = 200 + other});
      if (ran_out && other == rank) {
        result.shortage = memory::Shortage{
            .requested_bytes = 4096,
            .held_bytes = gib - 1024,
            .budget_bytes = gib,
            .mark = {.phase = memory::Phase::backward, .layer = 4, .shape = {2, 64, 8, 8}},
            .piece = "model.4.cv1",
            .holders = {{memory::Kind::activations, 2, 1000}, {memory::Kind::optimizer, -1, 500}}};
      }
    }
    return result;
  }

  // Each rank on its thread: remembers, does what an iteration does to it, and answers.
  std::vector<Answer> answers(const std::vector<int>& who_ran_out) {
    std::vector<Answer> answers(world_size);
    std::vector<std::thread> threads;
    for (int rank = 0; rank < world_size; ++rank) {
      threads.emplace_back([&, rank] {
        auto& training = run_.ranks[static_cast<size_t>(rank)];
        try {
          StepSnapshot before(*training);
          before.take(*training);
          disturb(*training);
          const std::vector<GroupBatch> groups = {
              {.group_index = rank, .pictures = {2 * rank, 2 * rank + 1}, .images = {}, .targets = {}}};
          answers[static_cast<size_t>(rank)].line =
              answer_shortage(*training, before, result_of(rank, who_ran_out), groups);
        } catch (...) {
          answers[static_cast<size_t>(rank)].failure = std::current_exception();
          training.reset();  // so that the others do not wait for this rank
        }
      });
    }
    for (std::thread& thread : threads) {
      thread.join();
    }
    return answers;
  }

  static void disturb(Training& t) {
    const c10::NoGradGuard no_grad;
    for (size_t i = 0; i < t.model->state.size(); ++i) {
      if (!t.model->state.entries()[i].is_parameter() &&
          t.model->state.entries()[i].role != model_spec::StateEntry::Role::anchors) {
        at::Tensor(t.model->state[i]).add_(1);
      }
    }
    for (const at::Tensor& bucket : t.reducer->buckets()) {
      at::Tensor(bucket).fill_(7);
    }
    t.state.batch += 1;
    t.state.epoch_sum.box += 1;
  }

  // Of all that an iteration moves.
  static std::vector<double> moved(const Training& t) {
    std::vector<double> sums = {static_cast<double>(t.iteration()), t.state.epoch_sum.box};
    for (const at::Tensor& bucket : t.reducer->buckets()) {
      sums.push_back(bucket.to(at::kDouble).abs().sum().item<double>());
    }
    for (size_t i = 0; i < t.model->state.size(); ++i) {
      sums.push_back(t.model->state[i].detach().to(at::kDouble).sum().item<double>());
    }
    return sums;
  }

  test::TemporaryFolder folder_;
  run::RunDirectory directory_;
  test::LocalRun run_;
};

TEST_F(SeveralRanksRecovery, AllTakeOneNewPlanAndGoBackToTheStepsBegin) {
  train("auto", {});
  std::vector<std::vector<double>> before;
  for (const auto& rank : run_.ranks) {
    before.push_back(moved(*rank));
  }
  EXPECT_GT(before[0][2] + before[0][3], 0) << "gradients of the unfinished step";
  const int64_t bytes_before = run_.ranks[0]->plan.ranks[1].estimate.training_bytes;
  const std::vector<Answer> found = answers({1});
  for (size_t rank = 0; rank < found.size(); ++rank) {
    ASSERT_FALSE(found[rank].failure) << "rank " << rank;
    EXPECT_EQ(found[rank].line, found[0].line);
    const Training& t = *run_.ranks[rank];
    EXPECT_EQ(moved(t), before[rank]) << "rank " << rank;
    EXPECT_EQ(t.plan.summary, run_.ranks[0]->plan.summary);
    EXPECT_EQ(t.recompute, t.plan.ranks[rank].recompute) << "in force";
    EXPECT_LT(t.plan.ranks[1].estimate.training_bytes, bytes_before);
  }
  EXPECT_THAT(found[0].line, HasSubstr("rank 1 ran out of memory in backward of model.4.cv1"));
  EXPECT_THAT(found[0].line, HasSubstr("replaying from iteration 3"));
}

TEST_F(SeveralRanksRecovery, WhoRanOutReportsWithTheViewOfAll) {
  train("auto", {});
  answers({1});
  EXPECT_FALSE(std::filesystem::exists(directory_.memory_report(0, 0, 0)));
  EXPECT_FALSE(std::filesystem::exists(directory_.memory_report(0, 2, 0)));
  const auto report = nlohmann::json::parse(read_file(directory_.memory_report(0, 1, 0)));
  EXPECT_EQ(report.at("rank"), 1);
  EXPECT_EQ(report.at("layer"), 4);
  EXPECT_EQ(report.at("shape"), nlohmann::json({2, 64, 8, 8}));
  EXPECT_EQ(report.at("free_bytes"), 1024);
  EXPECT_EQ(report.at("holders")[0].at("name"), "model.2 C3");
  EXPECT_EQ(report.at("actual").at("activations"), 1000);
  ASSERT_EQ(report.at("pictures").size(), 2u);
  EXPECT_EQ(report.at("pictures")[0].get<std::string>(),
            std::string(run_.ranks[0]->train_pictures.pictures[2].path));
  ASSERT_EQ(report.at("ranks").size(), 3u);
  for (int rank = 0; rank < world_size; ++rank) {
    const auto& of_rank = report.at("ranks")[static_cast<size_t>(rank)];
    EXPECT_EQ(of_rank.at("ran_out"), rank == 1);
    EXPECT_EQ(of_rank.at("peak_bytes"), 200 + rank);
    EXPECT_EQ(of_rank.at("budget_bytes"), gib);
  }
  const auto plans = nlohmann::json::parse(read_file(directory_.plan_json())).at("plans");
  ASSERT_EQ(plans.size(), 2u);
  EXPECT_EQ(plans[1].at("since_iteration"), 3);
}

TEST_F(SeveralRanksRecovery, SeveralAtOnceAreAnsweredOnce) {
  train("auto", {});
  const std::vector<Answer> found = answers({0, 1, 2});
  for (const Answer& answer : found) {
    ASSERT_FALSE(answer.failure);
    EXPECT_EQ(answer.line, found[0].line);
  }
  EXPECT_EQ(nlohmann::json::parse(read_file(directory_.plan_json())).at("plans").size(), 2u);
  for (int rank = 0; rank < world_size; ++rank) {
    EXPECT_TRUE(std::filesystem::exists(directory_.memory_report(0, rank, 0))) << "rank " << rank;
  }
}

TEST_F(SeveralRanksRecovery, TheRankThatRanOutEndsWithTheReportWhenNothingIsLeft) {
  train("blocks", {2, 2, 1});
  const std::vector<Answer> found = answers({1});
  for (int rank = 0; rank < world_size; ++rank) {
    const std::exception_ptr& failure = found[static_cast<size_t>(rank)].failure;
    ASSERT_TRUE(failure) << "rank " << rank;
    if (rank == 1) {
      EXPECT_THROW(std::rethrow_exception(failure), MemoryExhausted);
    } else {
      EXPECT_THROW(std::rethrow_exception(failure), PeerLost) << "its end is not the others' failure";
    }
  }
}

}  // namespace
}  // namespace yolodist::train
