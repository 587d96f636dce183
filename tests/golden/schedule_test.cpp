// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/golden/tensors.h"
#include "worker/optim/schedule.h"

namespace yolodist::golden {
namespace {

// A few units in the last place: the operations are the same, their order in places not.
constexpr double tolerance = 1e-15;

optim::Schedule::Setup setup_of(const nlohmann::json& test) {
  optim::Schedule::Setup setup;
  setup.hyp = config::hyperparameters_from_json(test.at("hyp"));
  setup.epochs = test.at("epochs");
  setup.batches_an_epoch = test.at("batches");
  setup.global_batch = test.at("batch");
  setup.cos_lr = test.at("cosine");
  return setup;
}

void expect_iterations(const nlohmann::json& test, const optim::Schedule& schedule) {
  const nlohmann::json& columns = test.at("columns");
  const int batches = test.at("batches");
  const int count = batches * test.at("epochs").get<int>();
  ASSERT_EQ(columns.at("lr0").size(), static_cast<size_t>(count));
  int last_step = -1;
  for (int iteration = 0; iteration < count; ++iteration) {
    const auto row = static_cast<size_t>(iteration);
    const std::string what = "iteration " + std::to_string(iteration);
    const optim::IterationSettings settings = schedule.at(iteration / batches, iteration % batches);
    for (size_t group = 0; group < optim::group_count; ++group) {
      expect_relative(settings.lr[group], columns.at("lr" + std::to_string(group)).at(row), tolerance, what);
    }
    expect_relative(settings.momentum, columns.at("momentum").at(row), tolerance, what);
    ASSERT_EQ(settings.accumulate, columns.at("accumulate").at(row).get<int>()) << what;
    // The rule of the step loop.
    const bool steps = iteration - last_step >= settings.accumulate;
    last_step = steps ? iteration : last_step;
    ASSERT_EQ(steps, columns.at("stepped").at(row).get<int>() != 0) << what;
  }
}

TEST(GoldenSchedule, EveryIterationIsThePeers) {
  const nlohmann::json file = load("schedule");
  ASSERT_EQ(file.at("cases").size(), 4U);
  for (const nlohmann::json& test : file.at("cases")) {
    SCOPED_TRACE(std::to_string(test.at("epochs").get<int>()) + " epochs of " +
                 std::to_string(test.at("batches").get<int>()) + " batches, cosine " +
                 std::to_string(test.at("cosine").get<bool>()));
    const optim::Schedule::Setup setup = setup_of(test);
    const optim::Schedule schedule(setup);
    EXPECT_EQ(schedule.warmup_iterations(), test.at("warmup_iterations").get<int64_t>());
    for (int x = 0; x <= setup.epochs; ++x) {
      expect_relative(schedule.lr_factor(x), test.at("lf").at(static_cast<size_t>(x)), tolerance, "lf");
    }
    expect_iterations(test, schedule);
    // What results.csv logs: the epoch's last iteration.
    for (int epoch = 0; epoch < setup.epochs; ++epoch) {
      const auto lr = schedule.at(epoch, setup.batches_an_epoch - 1).lr;
      for (size_t group = 0; group < optim::group_count; ++group) {
        expect_relative(lr[group], test.at("epoch_lr").at(static_cast<size_t>(epoch)).at(group), tolerance,
                        "logged lr");
      }
    }
  }
}

}  // namespace
}  // namespace yolodist::golden
