// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
// The result does not depend on how the global batch is cut over ranks.
#include <gtest/gtest.h>

#include <ATen/TensorOperators.h>
#include <ATen/ops/norm.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "common/base/log.h"
#include "common/run/run_directory.h"
#include "tests/support/local_training.h"
#include "tests/support/temporary_folder.h"

namespace yolodist {
namespace {

using test::LocalRun;

struct Trace {
  LocalRun run;
  std::vector<double> losses;  // box, obj, cls of every iteration
};

Trace trace(const config::TrainOptions& options, int world_size) {
  const test::TemporaryFolder folder;
  const run::RunDirectory directory = run::create_run_directory(folder.path(), "exp", false);
  Trace result;
  result.run = test::train_locally(options, world_size, directory.root.string());
  std::ifstream metrics(directory.metrics_jsonl());
  for (std::string line; std::getline(metrics, line);) {
    const auto row = nlohmann::json::parse(line);
    if (row.at("type") == "iteration") {
      for (const char* item : {"box", "obj", "cls"}) {
        result.losses.push_back(row.at("loss").at(item));
      }
    }
  }
  return result;
}

double relative_difference(const at::Tensor& a, const at::Tensor& b) {
  const double scale = at::norm(a.to(at::kDouble)).item<double>();
  return at::norm(a.to(at::kDouble) - b.to(at::kDouble)).item<double>() / std::max(scale, 1e-12);
}

void expect_equal_states(const model::StateDict& a, const model::StateDict& b, double tolerance) {
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_LE(relative_difference(a[i].detach(), b[i].detach()), tolerance) << a.entries()[i].name;
  }
}

void expect_equal_losses(const std::vector<double>& a, const std::vector<double>& b, double tolerance) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_NEAR(a[i], b[i], tolerance * std::max(std::abs(a[i]), 1e-6)) << "loss item " << i;
  }
}

class RanksTest : public ::testing::Test {
 protected:
  void SetUp() override { log::configure({.console_level = log::Level::error, .prefix = ""}); }

  // A global batch of 7 in BN groups of 2, all augmentation on.
  static config::TrainOptions uneven_options() {
    config::TrainOptions options = test::sample_options(64);
    options.global_batch = 7;
    options.bn_group = 2;
    options.precision = "fp64";
    return options;
  }
};

TEST_F(RanksTest, TwentyIterationsAgreeInDoublePrecision) {
  config::TrainOptions options = uneven_options();
  options.max_iterations = 20;
  const Trace one = trace(options, 1);
  ASSERT_EQ(one.losses.size(), 60U);
  // Of the states the batch norms' biases differ most: they are still near 0, so rounding is large beside
  // them.
  constexpr double state_tolerance = 5e-9;
  for (const int world_size : {2, 3}) {
    const Trace several = trace(options, world_size);
    expect_equal_losses(one.losses, several.losses, 1e-9);
    expect_equal_states(one.run.ranks[0]->model->state, several.run.ranks[0]->model->state, state_tolerance);
    expect_equal_states(one.run.ranks[0]->ema->model().state, several.run.ranks[0]->ema->model().state,
                        state_tolerance);
    for (const auto& rank : several.run.ranks) {
      EXPECT_EQ(model::fingerprint(rank->model->state),
                model::fingerprint(several.run.ranks[0]->model->state));
    }
  }
  options.shard = {1, 2, 4};
  const Trace sharded = trace(options, 3);
  expect_equal_losses(one.losses, sharded.losses, 1e-9);
  expect_equal_states(one.run.ranks[0]->model->state, sharded.run.ranks[0]->model->state, state_tolerance);
}

// After the first step SGD's momentum is the gradient plus the decay of equal weights.
TEST_F(RanksTest, FirstGradientsAgreeInDoublePrecision) {
  config::TrainOptions options = uneven_options();
  options.max_iterations = 1;
  const auto first_gradients = [&](int world_size) {
    return std::move(trace(options, world_size).run.ranks[0]->optimizer->state().at("momentum"));
  };
  const auto one = first_gradients(1);
  for (const int world_size : {2, 3}) {
    const auto several = first_gradients(world_size);
    ASSERT_EQ(one.size(), several.size());
    for (size_t i = 0; i < one.size(); ++i) {
      EXPECT_GT(at::norm(one[i].second).item<double>(), 0) << one[i].first;
      EXPECT_LE(relative_difference(one[i].second, several[i].second), 1e-9) << one[i].first;
    }
  }
}

TEST_F(RanksTest, ThreeIterationsAgreeInSinglePrecision) {
  config::TrainOptions options = uneven_options();
  options.precision = "fp32";
  options.max_iterations = 3;
  const Trace one = trace(options, 1);
  for (const int world_size : {2, 3}) {
    expect_equal_losses(one.losses, trace(options, world_size).losses, 1e-5);
  }
}

TEST_F(RanksTest, GradientsAreReducedOnceAnOptimizerStep) {
  config::TrainOptions options = test::sample_options(64);
  options.global_batch = 4;
  options.accumulate = 3;
  options.max_iterations =
      120;  // past the 100 iterations of warm-up, in which the accumulation grows from 1 to 3
  options.epochs = 40;
  const Trace two = trace(options, 2);
  const train::Training& rank = *two.run.ranks[0];
  // One more when the last step is unfinished: its gradients are collected for the checkpoint.
  const int64_t unfinished = rank.state.last_step_iteration == rank.iteration() - 1 ? 0 : 1;
  EXPECT_EQ(rank.reducer->reduced_steps(), rank.state.step + unfinished);
  EXPECT_LT(rank.state.step, 90);
}

}  // namespace
}  // namespace yolodist
