// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
// fp16 with its loss scale, on the CPU: LibTorch computes fp16 there too, only slowly.
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <tuple>

#include "common/base/error.h"
#include "common/base/log.h"
#include "tests/support/thrown.h"
#include "tests/unit/worker/train/recorded_run.h"
#include "worker/checkpoint/checkpoint.h"

namespace yolodist {
namespace {

using train::Training;

class MixedPrecision : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override { log::configure({.console_level = log::Level::error, .prefix = ""}); }

  static config::TrainOptions options(const std::string& precision) {
    config::TrainOptions options = test::sample_options(64);
    options.global_batch = 4;
    options.bn_group = 2;
    options.accumulate = 1;
    options.precision = precision;
    options.max_steps = 6;
    return options;
  }

  run::RunDirectory new_run() const { return run::create_run_directory(folder_.path(), "exp", false); }

  // bf16 needs no scaler and has none; with one the same code runs in the precision that processors are fast
  // in. The scale is one that the first steps do not have to lower.
  static void give_scaler(Training& t) {
    if (!t.scaler) {
      t.scaler = std::make_unique<optim::GradScaler>(t.device, optim::GradScaler::Settings());
    }
    t.scaler->set_state({1024, 0});
  }

  // Makes a piece of a gradient on `rank` infinite in that iteration.
  static void spoil(Training& t, int rank, int64_t iteration) {
    if (t.rank == rank) {
      t.model->state.at("model.0.conv.weight").register_hook([&t, iteration](const at::Tensor& gradient) {
        at::Tensor spoilt = gradient.clone();
        if (t.iteration() == iteration) {
          spoilt[0].fill_(HUGE_VAL);
        }
        return spoilt;
      });
    }
  }

  test::TemporaryFolder folder_;
};

INSTANTIATE_TEST_SUITE_P(Precisions, MixedPrecision, ::testing::Values("fp16", "bf16"),
                         [](const auto& test) { return std::string(test.param); });

// The edges between fp16 and fp32: parameters, gradients, statistics, losses and checkpoints are fp32.
TEST_P(MixedPrecision, KeepsParametersAndGradientsInSinglePrecision) {
  config::TrainOptions two = options(GetParam());
  two.max_steps = 2;
  const auto run = new_run();
  const test::LocalRun trained = test::train_locally(two, 1, run.root.string(), "", -1, give_scaler);
  const Training& t = *trained.ranks[0];
  EXPECT_NE(t.model->compute_dtype(), at::kFloat);
  for (size_t i = 0; i < t.model->state.size(); ++i) {
    if (t.model->state[i].is_floating_point()) {
      EXPECT_EQ(t.model->state[i].scalar_type(), at::kFloat) << t.model->state.entries()[i].name;
    }
  }
  for (const at::Tensor& bucket : t.reducer->buckets()) {
    EXPECT_EQ(bucket.scalar_type(), at::kFloat);
  }
}

TEST_P(MixedPrecision, LossesAreCloseToThoseOfSinglePrecision) {
  const test::RecordedRun single = test::record_run(options("fp32"), 2);
  const auto run = new_run();
  const test::LocalRun trained =
      test::train_locally(options(GetParam()), 2, run.root.string(), "", -1, give_scaler);
  test::RecordedRun mixed;
  test::add_files(mixed, run);
  ASSERT_EQ(mixed.rows.size(), 6U);
  for (const auto& [iteration, row] : mixed.rows) {
    const double expected = single.rows.at(iteration).at("loss").at("total");
    EXPECT_NEAR(row.at("loss").at("total").get<double>(), expected, 0.02 * expected) << iteration;
  }
  EXPECT_EQ(trained.ranks[0]->state.skipped_steps, 0);
}

// An infinite gradient on one rank only: all ranks skip that step, halve the scale, and go on alike.
TEST_P(MixedPrecision, AllRanksSkipTheStepThatIsBadOnOne) {
  constexpr int64_t bad_iteration = 3;
  const auto run = new_run();
  std::vector<std::vector<uint64_t>> weights(2);  // by rank, before each iteration
  std::vector<int64_t> last_seen(2, -1);
  const auto prepare = [&](Training& t) {
    give_scaler(t);
    spoil(t, 1, bad_iteration);
    auto& own = weights.at(static_cast<size_t>(t.rank));
    auto& seen = last_seen.at(static_cast<size_t>(t.rank));
    t.model->state.at("model.1.conv.weight").register_hook([&t, &own, &seen](const at::Tensor& gradient) {
      if (std::exchange(seen, t.iteration()) != t.iteration()) {
        own.push_back(model::fingerprint(t.ema->model().state));
        own.back() ^= test::hash_of(t.model->state.at("model.0.conv.weight"));
      }
      return gradient;
    });
  };
  const test::LocalRun trained =
      test::train_locally(options(GetParam()), 2, run.root.string(), "", -1, prepare);
  for (const auto& rank : trained.ranks) {
    EXPECT_EQ(rank->state.skipped_steps, 1);
    EXPECT_EQ(rank->state.skipped_in_a_row, 0);
    EXPECT_EQ(rank->state.step, 6) << "a skipped step counts";
    EXPECT_EQ(rank->scaler->state(), (optim::GradScaler::State{512, 2}));
    EXPECT_EQ(model::fingerprint(rank->model->state), model::fingerprint(trained.ranks[0]->model->state));
    EXPECT_EQ(model::fingerprint(rank->ema->model().state),
              model::fingerprint(trained.ranks[0]->ema->model().state));
    for (size_t i = 0; i < rank->model->state.size(); ++i) {
      EXPECT_TRUE(std::isfinite(rank->model->state[i].to(at::kDouble).sum().item<double>()))
          << rank->model->state.entries()[i].name;
    }
  }
  EXPECT_EQ(weights[0], weights[1]);

  int skips = 0;
  test::RecordedRun record;
  test::add_files(record, run);
  for (const auto& event : record.events) {
    if (event.at("event") == "step_skipped") {
      ++skips;
      EXPECT_EQ(event.at("iteration"), bad_iteration);
      EXPECT_NE(event.at("detail").get<std::string>().find("scale is now 512"), std::string::npos) << event;
    }
  }
  EXPECT_EQ(skips, 1);
}

TEST_P(MixedPrecision, ASkippedStepMovesNoParameter) {
  const auto weights_after = [&](int64_t steps, int64_t bad_iteration) {
    config::TrainOptions some = options(GetParam());
    some.max_steps = steps;
    const test::LocalRun trained =
        test::train_locally(some, 1, new_run().root.string(), "", -1, [&](Training& t) {
          give_scaler(t);
          spoil(t, 0, bad_iteration);
        });
    return test::hash_of(trained.ranks[0]->model->state.at("model.1.conv.weight"));
  };
  EXPECT_EQ(weights_after(3, 2), weights_after(2, -1));
  EXPECT_NE(weights_after(3, -1), weights_after(2, -1));
}

// The scale, and how long it has held, are part of a checkpoint.
TEST_P(MixedPrecision, AResumedRunGoesOnBitForBit) {
  const auto with_spoilt = [](Training& t) {
    give_scaler(t);
    spoil(t, 0, 1);
  };
  const test::LocalRun straight =
      test::train_locally(options(GetParam()), 1, new_run().root.string(), "", -1, with_spoilt);
  config::TrainOptions half = options(GetParam());
  half.max_steps = 3;
  const auto run = new_run();
  test::train_locally(half, 1, run.root.string(), "", -1, with_spoilt);
  const auto meta = checkpoint::read_checkpoint(run.weights_last()).meta;
  EXPECT_EQ(meta.at("scaler").at("scale"), 512);
  EXPECT_EQ(meta.at("scaler").at("good_steps"), 1);
  EXPECT_EQ(meta.at("skipped_steps"), 1);
  if (std::string_view(GetParam()) == "bf16") {
    return;  // its scaler is the test's, and comes after the checkpoint is read
  }
  const test::LocalRun resumed =
      test::train_locally(options(GetParam()), 1, run.root.string(), run.weights_last().string());
  EXPECT_EQ(resumed.ranks[0]->scaler->state(), straight.ranks[0]->scaler->state());
  EXPECT_EQ(resumed.ranks[0]->state.skipped_steps, 1);
  EXPECT_EQ(model::fingerprint(resumed.ranks[0]->model->state),
            model::fingerprint(straight.ranks[0]->model->state));
}

// What stays infinite is not the scale's fault: neither loss nor gradient ever gets finite again.
TEST_P(MixedPrecision, ManyBadStepsInARowAreADivergence) {
  config::TrainOptions many = options(GetParam());
  many.max_steps = 100;
  many.global_batch = 2;
  many.epochs = 50;
  const std::string message = test::thrown<Diverged>([&] {
    test::train_locally(many, 1, new_run().root.string(), "", -1, [](Training& t) {
      give_scaler(t);
      at::Tensor(t.model->state.at("model.24.m.0.bias")).detach().fill_(std::nan(""));
    });
  });
  EXPECT_NE(message.find("50 steps in a row"), std::string::npos) << message;
}

// From scratch the first scaled gradients overflow fp16; the scale settles by itself.
TEST(MixedPrecisionFromScratch, FindsItsScale) {
  log::configure({.console_level = log::Level::error, .prefix = ""});
  config::TrainOptions options = test::sample_options(64);
  options.global_batch = 4;
  options.bn_group = 2;
  options.precision = "fp16";
  options.max_steps = 4;
  const test::TemporaryFolder folder;
  const auto run = run::create_run_directory(folder.path(), "exp", false);
  const test::LocalRun trained = test::train_locally(options, 2, run.root.string());
  for (const auto& rank : trained.ranks) {
    EXPECT_GE(rank->state.skipped_steps, 1);
    EXPECT_LE(rank->state.skipped_steps, 3);
    EXPECT_EQ(rank->scaler->state().scale, std::ldexp(65536, -static_cast<int>(rank->state.skipped_steps)));
    EXPECT_EQ(rank->scaler->state(), trained.ranks[0]->scaler->state());
  }
}

// What an unfinished step has gathered has the loss scale in it; who goes on in another precision has
// another.
TEST(MixedPrecisionResumed, TakesGradientsAlongInItsOwnScale) {
  log::configure({.console_level = log::Level::error, .prefix = ""});
  const auto norm_of = [](const std::vector<at::Tensor>& tensors) {
    double squares = 0;
    for (const at::Tensor& tensor : tensors) {
      squares += tensor.to(at::kDouble).square().sum().item<double>();
    }
    return std::sqrt(squares);
  };
  for (const auto& [before, after, factor] :
       {std::tuple{"fp16", "fp32", 1.0 / 1024}, {"fp32", "fp16", 65536.0}, {"fp16", "fp16", 1.0}}) {
    SCOPED_TRACE(std::string(before) + " to " + after);
    config::TrainOptions options = test::sample_options(64);
    options.global_batch = 4;
    options.accumulate = 40;  // grows from 1 to 40 over the iterations of warm-up
    options.precision = before;
    const test::TemporaryFolder folder;
    const auto run = run::create_run_directory(folder.path(), "exp", false);
    const test::LocalRun stopped = test::train_locally(options, 1, run.root.string(), "", 5, [](Training& t) {
      if (t.scaler) {
        t.scaler->set_state({1024, 0});
      }
    });
    ASSERT_NE(stopped.ranks[0]->state.last_step_iteration, stopped.ranks[0]->iteration() - 1);
    std::vector<at::Tensor> stored;
    const checkpoint::Checkpoint last = checkpoint::read_checkpoint(run.weights_last());
    for (const auto& [name, gradient] : last.optimizer.at("gradient")) {
      stored.push_back(gradient);
    }
    ASSERT_GT(norm_of(stored), 0);
    options.precision = after;
    options.max_iterations = 7;
    double found = 0;
    test::train_locally(options, 1, run.root.string(), run.weights_last().string(), -1,
                        [&](Training& t) { found = norm_of(t.reducer->buckets()); });
    EXPECT_NEAR(found, factor * norm_of(stored), 1e-5 * found);
  }
}

// A loss that is not finite in one of several iterations of a step spoils the step, and no statistic.
TEST_P(MixedPrecision, ABadIterationSpoilsItsWholeStep) {
  config::TrainOptions accumulating = options(GetParam());
  accumulating.accumulate = 2;
  accumulating.max_iterations = 4;
  accumulating.max_steps = 0;
  accumulating.hyp = YOLODIST_SOURCE_DIR "/share/yolodist/hyps/hyp.no-augmentation.yaml";
  const test::LocalRun trained =
      test::train_locally(accumulating, 1, new_run().root.string(), "", -1, [](Training& t) {
        give_scaler(t);
        // In the first iteration an output is not finite; its bias is good again before the second.
        const at::Tensor bias = t.model->state.at("model.24.m.0.bias");
        const double before = bias.detach()[4].item<double>();
        bias.detach()[4].fill_(HUGE_VAL);
        t.model->state.at("model.0.conv.weight").register_hook([bias, before](const at::Tensor& gradient) {
          bias.detach()[4].fill_(before);
          return gradient;
        });
      });
  const Training& t = *trained.ranks[0];
  EXPECT_GE(t.state.skipped_steps, 1);
  for (size_t i = 0; i < t.model->state.size(); ++i) {
    EXPECT_TRUE(std::isfinite(t.model->state[i].to(at::kDouble).sum().item<double>()))
        << t.model->state.entries()[i].name;
  }
}

}  // namespace
}  // namespace yolodist
