// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/checkpoint/kept_checkpoints.h"

#include <ATen/ops/full.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/atomic_file.h"
#include "common/base/error.h"
#include "common/run/run_directory.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/thrown.h"

namespace yolodist::checkpoint {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

class KeptCheckpoints : public ::testing::Test {
 protected:
  static Checkpoint checkpoint_of(int64_t number) {
    Checkpoint made;
    made.model = {{"w", at::full({200}, number, at::kFloat)}};
    made.meta = {{"iteration", number}};
    return made;
  }
  static int64_t number_of(const std::filesystem::path& file) {
    return read_checkpoint(file).meta.at("iteration").get<int64_t>();
  }
  void write(int64_t number) {
    write_making_room(
        last_, last_, checkpoint_of(number), [] {}, given_up_);
  }
  std::vector<int64_t> numbers() const {
    std::vector<int64_t> found;
    for (const auto& file : run::kept_checkpoints(last_)) {
      found.push_back(std::filesystem::exists(file) ? number_of(file) : -1);
    }
    return found;
  }
  void damage(const std::filesystem::path& file) const {
    const std::string content = read_file(file);
    write_file_atomically(file, content.substr(0, content.size() / 2));
  }

  test::TemporaryFolder folder_;
  const std::filesystem::path last_ = folder_ / "last.pt";
  std::vector<std::filesystem::path> given_up_;
};

TEST_F(KeptCheckpoints, AreTheLastThree) {
  EXPECT_THAT(run::kept_checkpoints(last_), ElementsAre(last_, folder_ / "last-1.pt", folder_ / "last-2.pt"));
  write(1);
  EXPECT_THAT(numbers(), ElementsAre(1, -1, -1));
  write(2);
  EXPECT_THAT(numbers(), ElementsAre(2, 1, -1));
  write(3);
  write(4);
  EXPECT_THAT(numbers(), ElementsAre(4, 3, 2));
  EXPECT_TRUE(given_up_.empty());
}

TEST_F(KeptCheckpoints, AreNotShiftedTwiceAfterAKillBeforeTheRename) {
  for (int number = 1; number <= 3; ++number) {
    write(number);
  }
  keep_earlier(last_);  // and then the process was killed
  EXPECT_THAT(numbers(), ElementsAre(3, 3, 2));
  write(4);
  EXPECT_THAT(numbers(), ElementsAre(4, 3, 2));
}

TEST_F(KeptCheckpoints, StayAsTheyWereWhenTheNewOneMayNotTakeItsPlace) {
  write(1);
  write(2);
  EXPECT_THROW(write_making_room(
                   last_, last_, checkpoint_of(3), [] { throw StorageError("not now"); }, given_up_),
               StorageError);
  EXPECT_THAT(numbers(), ElementsAre(2, 1, -1));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_.path()), {}), 2);
}

TEST_F(KeptCheckpoints, AreGivenUpOldestFirstForWantOfRoom) {
  write(1);
  write(2);
  write(3);
  int refusals = 2;
  const auto no_room = [&] {
    if (refusals > 0) {
      --refusals;
      throw NoRoom("full");
    }
  };
  write_making_room(last_, last_, checkpoint_of(4), no_room, given_up_);
  EXPECT_THAT(given_up_, ElementsAre(folder_ / "last-2.pt", folder_ / "last-1.pt"));
  EXPECT_THAT(numbers(), ElementsAre(4, 3, -1));
  // Never last.pt itself.
  given_up_.clear();
  EXPECT_THROW(write_making_room(
                   last_, last_, checkpoint_of(5), [] { throw NoRoom("full"); }, given_up_),
               NoRoom);
  EXPECT_THAT(numbers(), ElementsAre(4, -1, -1));
}

TEST_F(KeptCheckpoints, TheNewestThatCanBeReadIsTaken) {
  write(1);
  write(2);
  write(3);
  EXPECT_EQ(read_newest(last_).file, last_);
  EXPECT_TRUE(read_newest(last_).passed_over.empty());
  damage(last_);
  damage(folder_ / "last-1.pt");
  const Readable found = read_newest(last_);
  EXPECT_EQ(found.file, folder_ / "last-2.pt");
  EXPECT_EQ(found.checkpoint.meta.at("iteration"), 1);
  EXPECT_THAT(found.passed_over, ElementsAre(HasSubstr("last.pt"), HasSubstr("last-1.pt")));
  damage(folder_ / "last-2.pt");
  EXPECT_THAT(test::thrown<DataError>([&] { read_newest(last_); }),
              AllOf(HasSubstr("last.pt is cut short"), HasSubstr("last-2.pt is cut short")));
}

TEST_F(KeptCheckpoints, TemporariesAreNeverTaken) {
  write(1);
  std::filesystem::rename(last_, folder_ / "last.pt.tmp-4711");
  EXPECT_THROW(read_newest(last_), DataError);
}

// Of a file that is damaged anywhere, either nothing is taken or all of it is as it was written.
TEST_F(KeptCheckpoints, NoDamagedByteGoesUnseen) {
  write(7);
  const std::string content = read_file(last_);
  size_t refused = 0;
  for (size_t at = 0; at < content.size(); ++at) {
    std::string damaged = content;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x10);
    const auto file = folder_.write("damaged.pt", damaged);
    try {
      const Checkpoint read = read_checkpoint(file);
      EXPECT_EQ(read.meta, checkpoint_of(7).meta) << at;
      ASSERT_EQ(read.model.size(), 1u) << at;
      EXPECT_TRUE(read.model[0].second.equal(checkpoint_of(7).model[0].second)) << at;
    } catch (const DataError&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 800u) << "the bytes of the tensor alone";
}

}  // namespace
}  // namespace yolodist::checkpoint
