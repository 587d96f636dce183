// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/checkpoint/background_writer.h"

#include <ATen/ops/full.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>

#include "common/base/error.h"
#include "tests/support/temporary_folder.h"

namespace yolodist::checkpoint {
namespace {

using testing::ElementsAre;

class BackgroundWriterTest : public ::testing::Test {
 protected:
  static std::shared_ptr<const Checkpoint> checkpoint_of(int64_t number) {
    auto made = std::make_shared<Checkpoint>();
    made->model = {{"w", at::full({10}, number, at::kFloat)}};
    made->meta = {{"iteration", number}};
    return made;
  }
  static int64_t number_of(const std::filesystem::path& file) {
    return read_checkpoint(file).meta.at("iteration").get<int64_t>();
  }

  test::TemporaryFolder folder_;
  const std::filesystem::path last_ = folder_ / "last.pt", best_ = folder_ / "best.pt";
};

TEST_F(BackgroundWriterTest, WritesWhileItsOwnerGoesOn) {
  std::promise<void> go_on;
  BackgroundWriter writer(last_, [waits = go_on.get_future().share()] { waits.wait(); });
  EXPECT_FALSE(writer.is_busy());
  writer.start({{last_, checkpoint_of(1)}});
  EXPECT_TRUE(writer.is_busy());
  EXPECT_FALSE(writer.take_outcome());
  EXPECT_FALSE(std::filesystem::exists(last_)) << "not before it may take its place";
  go_on.set_value();
  const auto outcome = writer.wait_for_outcome();
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->error, nullptr);
  EXPECT_THAT(outcome->written, ElementsAre(last_));
  EXPECT_EQ(number_of(last_), 1);
  EXPECT_FALSE(writer.is_busy());
  EXPECT_FALSE(writer.wait_for_outcome()) << "an outcome is handed out once";
}

TEST_F(BackgroundWriterTest, LetsGoOfTheSnapshot) {
  BackgroundWriter writer(last_, [] {});
  auto state = checkpoint_of(1);
  const std::weak_ptr<const Checkpoint> watched = state;
  writer.start({{last_, std::move(state)}});
  writer.wait_for_outcome();
  EXPECT_TRUE(watched.expired());
}

TEST_F(BackgroundWriterTest, FinishesBeforeItEnds) {
  {
    BackgroundWriter writer(last_, [] { std::this_thread::sleep_for(std::chrono::milliseconds(50)); });
    writer.start({{last_, checkpoint_of(3)}});
  }
  EXPECT_EQ(number_of(last_), 3);
}

TEST_F(BackgroundWriterTest, HandsOverWhyItFailed) {
  std::atomic<bool> fails = true;
  BackgroundWriter writer(last_, [&fails] {
    if (fails) {
      throw StorageError("the rows are not written");
    }
  });
  writer.start({{last_, checkpoint_of(1)}});
  const auto failed = writer.wait_for_outcome();
  ASSERT_TRUE(failed && failed->error);
  EXPECT_EQ(failed->failed, last_);
  EXPECT_TRUE(failed->written.empty());
  EXPECT_THROW(std::rethrow_exception(failed->error), StorageError);
  EXPECT_TRUE(std::filesystem::is_empty(folder_.path()));
  fails = false;
  writer.start({{last_, checkpoint_of(2)}});
  EXPECT_EQ(writer.wait_for_outcome()->error, nullptr);
  EXPECT_EQ(number_of(last_), 2);
}

TEST_F(BackgroundWriterTest, LastIsNotWrittenWithoutTheBestThatItSpeaksOf) {
  BackgroundWriter writer(last_, [] {});
  const auto unwritable = folder_ / "missing/best.pt";
  writer.start({{unwritable, checkpoint_of(1), /*is_needed_by_next=*/true}, {last_, checkpoint_of(1)}});
  const auto outcome = writer.wait_for_outcome();
  EXPECT_EQ(outcome->failed, unwritable);
  EXPECT_FALSE(std::filesystem::exists(last_));
  // Another file is left out, and the rest goes on.
  writer.start({{folder_ / "missing/epoch3.pt", checkpoint_of(2)}, {last_, checkpoint_of(2)}});
  const auto second = writer.wait_for_outcome();
  EXPECT_EQ(second->failed, folder_ / "missing/epoch3.pt");
  EXPECT_THAT(second->written, ElementsAre(last_));
}

TEST_F(BackgroundWriterTest, WritesInOrder) {
  BackgroundWriter writer(last_, [] {});
  writer.start({{best_, checkpoint_of(1), true}, {last_, checkpoint_of(2)}});
  EXPECT_THAT(writer.wait_for_outcome()->written, ElementsAre(best_, last_));
  EXPECT_EQ(number_of(best_), 1);
  EXPECT_EQ(number_of(last_), 2);
}

}  // namespace
}  // namespace yolodist::checkpoint
