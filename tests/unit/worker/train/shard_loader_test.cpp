// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/train/shard_loader.h"

#include <ATen/Functions.h>
#include <gmock/gmock.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "common/base/error.h"
#include "common/base/log.h"
#include "common/run/run_directory.h"
#include "tests/support/local_training.h"
#include "tests/support/temporary_folder.h"
#include "worker/data/decode_failures.h"
#include "worker/data/sampler.h"
#include "worker/memory/budget.h"

namespace yolodist::train {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::SizeIs;

constexpr int global_batch = 5;

class ShardLoaderTest : public testing::Test {
 protected:
  void SetUp() override {
    log::configure({.console_level = log::Level::error, .prefix = ""});
    memory::install_counting_allocator();
    config::TrainOptions options = test::sample_options(64);
    options.global_batch = global_batch;
    options.bn_group = 2;
    options.max_iterations = 1;
    options.no_plots = true;
    const auto directory = run::create_run_directory(folder_.path(), "exp", false);
    run_ = test::train_locally(options, 1, directory.root.string());
    run_.ranks[0]->state = {};
  }
  void TearDown() override { memory::set_observer(nullptr, nullptr); }

  Training& training() { return *run_.ranks[0]; }
  // The groups of all iterations from `batch` on.
  std::vector<std::vector<GroupBatch>> all(int batch = 0) {
    training().state.batch = batch;
    ShardLoader loader(training());
    std::vector<std::vector<GroupBatch>> iterations;
    for (; batch < training().batches_an_epoch(); ++batch) {
      iterations.push_back(loader.next());
    }
    EXPECT_THROW(loader.next(), InternalError) << "the epoch is over";
    return iterations;
  }

  test::TemporaryFolder folder_;
  test::LocalRun run_;
};

void expect_same(const std::vector<GroupBatch>& found, const std::vector<GroupBatch>& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (size_t g = 0; g < found.size(); ++g) {
    EXPECT_EQ(found[g].group_index, expected[g].group_index);
    EXPECT_EQ(found[g].pictures, expected[g].pictures);
    EXPECT_TRUE(at::equal(found[g].images, expected[g].images));
    EXPECT_EQ(found[g].targets.size(), expected[g].targets.size());
  }
}

TEST_F(ShardLoaderTest, GivesTheGroupsOfEachIterationInOrder) {
  const std::vector<int> order = data::epoch_order(training().options.seed, 0, training().picture_count());
  const auto iterations = all();
  size_t position = 0;
  for (size_t batch = 0; batch < iterations.size(); ++batch) {
    for (const GroupBatch& group : iterations[batch]) {
      EXPECT_EQ(group.images.sizes(),
                at::IntArrayRef({static_cast<int64_t>(group.pictures.size()), 3, 64, 64}));
      for (const int picture : group.pictures) {
        EXPECT_EQ(picture, order.at(position++));
      }
    }
  }
  EXPECT_EQ(position, order.size());
  ASSERT_THAT(iterations[0], SizeIs(3));
  EXPECT_THAT(iterations[0][0].pictures, SizeIs(2));
  EXPECT_THAT(iterations[0][2].pictures, SizeIs(1));
}

TEST_F(ShardLoaderTest, BeginsInTheMiddleWithTheSamePictures) {
  const auto whole = all();
  training().options.workers = 3;
  const auto rest = all(2);
  ASSERT_EQ(rest.size(), whole.size() - 2);
  for (size_t i = 0; i < rest.size(); ++i) {
    expect_same(rest[i], whole[i + 2]);
  }
}

// Groups put together, and how many may be by now.
struct Watch {
  std::atomic<int> groups{0}, most{0};
  std::atomic<bool> went_too_far{false};
};

TEST_F(ShardLoaderTest, IsOneIterationAheadAndNoMore) {
  Watch watch;
  constexpr int groups_an_iteration = 3;
  memory::set_observer(
      [](int64_t bytes, const memory::Mark& mark, void* context) {
        auto& seen = *static_cast<Watch*>(context);
        if (bytes > 0 && mark.kind == memory::Kind::host && mark.phase == memory::Phase::data &&
            ++seen.groups > seen.most) {
          seen.went_too_far = true;
        }
      },
      &watch);
  const auto wait_for = [&](int groups) {
    const auto patience = std::chrono::steady_clock::now() + 20s;
    while (watch.groups < groups && std::chrono::steady_clock::now() < patience) {
      std::this_thread::sleep_for(1ms);
    }
    EXPECT_EQ(watch.groups, groups);
  };
  watch.most = groups_an_iteration;
  ShardLoader loader(training());
  wait_for(groups_an_iteration);  // before anybody asks for them
  watch.most = 2 * groups_an_iteration;
  const std::vector<GroupBatch> first = loader.next();
  wait_for(2 * groups_an_iteration);
  std::this_thread::sleep_for(50ms);  // time enough to go on, if it did
  EXPECT_FALSE(watch.went_too_far);
}

TEST_F(ShardLoaderTest, WhatFailsAheadIsThrownByNext) {
  data::RectBatches batches;
  for (int i = 0; i < training().picture_count(); ++i) {
    batches.order.push_back(i < global_batch ? i : 1'000'000);  // no such picture
  }
  batches.shapes.resize(static_cast<size_t>(training().batches_an_epoch()), {64, 64});
  training().train_batches = batches;
  ShardLoader loader(training());
  EXPECT_THAT(loader.next(), SizeIs(3));
  EXPECT_THROW(loader.next(), std::out_of_range);
}

// Pictures that are missing take as long as their callback.
TEST_F(ShardLoaderTest, EndsWithoutMakingTheRestOfAnIteration) {
  Training& t = training();
  t.options.augment = false;
  t.options.global_batch = t.picture_count();
  // A folder that is there, else the callback is spared.
  const auto folder = folder_.path() / "others";
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "other.jpg") << "no picture";
  for (data::Picture& picture : t.train_pictures.pictures) {
    picture.path = folder / picture.path.filename();
  }
  std::atomic<int> made{0};
  std::atomic<bool> is_open{false};
  t.decode_failures = std::make_unique<data::DecodeFailures>([&](const data::Picture&, const std::string&) {
    ++made;
    do {
      std::this_thread::sleep_for(20ms);
    } while (!is_open);
  });
  auto loader = std::make_unique<ShardLoader>(t);
  const auto patience = std::chrono::steady_clock::now() + 20s;
  while (made == 0 && std::chrono::steady_clock::now() < patience) {
    std::this_thread::sleep_for(1ms);
  }
  ASSERT_GT(made, 0);
  std::jthread ending([&] { loader.reset(); });
  std::this_thread::sleep_for(100ms);
  is_open = true;
  ending.join();
  EXPECT_LT(made, t.picture_count() / 2);
}

TEST_F(ShardLoaderTest, ARankWithoutPicturesHasNoGroups) {
  training().world_size = 4;
  training().shard = {};
  training().rank = 3;  // three groups are for the others
  const auto iterations = all();
  EXPECT_THAT(iterations, testing::Each(SizeIs(0)));
  EXPECT_THAT(iterations, SizeIs(training().batches_an_epoch()));
}

}  // namespace
}  // namespace yolodist::train
