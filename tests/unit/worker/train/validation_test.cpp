// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
// Validation in pieces finds what validation of whole slices finds.
#include "worker/train/validation.h"

#include <ATen/TensorOperators.h>
#include <c10/core/GradMode.h>
#include <c10/util/Exception.h>
#include <gmock/gmock.h>

#include "common/base/log.h"
#include "common/run/run_directory.h"
#include "tests/support/local_training.h"
#include "tests/support/temporary_folder.h"
#include "worker/memory/budget.h"

namespace yolodist::train {
namespace {

using testing::ElementsAre;

// What a validation reports, and what it found in every picture.
struct Found {
  ValidationReport report;
  std::map<size_t, std::vector<eval::Detection>> detections;  // by position in the order
  std::vector<size_t> piece_sizes;
};

class ValidationTest : public ::testing::Test {
 protected:
  void SetUp() override {
    log::configure({.console_level = log::Level::error, .prefix = ""});
    memory::install_counting_allocator();
    config::TrainOptions options = test::sample_options(192);
    options.global_batch = 4;
    options.max_iterations = 1;
    options.no_plots = true;
    options.val_batch = 5;  // 8 pictures: groups of 5 and 3
    run_ = test::train_locally(options, 1,
                               run::create_run_directory(folder_.path(), "exp", false).root.string());
    // An untrained model finds nothing; one that is sure of itself finds something everywhere.
    const c10::NoGradGuard no_grad;
    const model::StateDict& state = training().model->state;
    for (size_t i = 0; i < state.size(); ++i) {
      if (state.entries()[i].role == model_spec::StateEntry::Role::conv_bias) {
        at::Tensor(state[i]).add_(4);
      }
    }
  }
  void TearDown() override { memory::set_budget(0); }

  Training& training() { return *run_.ranks[0]; }

  Found found(int pictures_a_forward, std::function<int(int)> on_shortage = nullptr) {
    Found found;
    ValidationJob job = validation_job(training());
    job.pictures_a_forward = pictures_a_forward;
    job.on_shortage = std::move(on_shortage);
    job.on_piece = [&found](const ValidatedPiece& piece) {
      found.piece_sizes.push_back(piece.samples.size());
      for (size_t i = 0; i < piece.samples.size(); ++i) {
        found.detections[piece.first_position + i] = piece.detections[i];
      }
    };
    found.report = validate(job, *training().model);
    last_pictures_a_forward_ = job.pictures_a_forward;
    return found;
  }

  test::TemporaryFolder folder_;
  test::LocalRun run_;
  int last_pictures_a_forward_ = 0;
};

void expect_same(const Found& found, const Found& expected) {
  ASSERT_EQ(found.detections.size(), expected.detections.size());
  size_t count = 0;
  for (const auto& [position, of_picture] : expected.detections) {
    const auto& other = found.detections.at(position);
    ASSERT_EQ(other.size(), of_picture.size()) << "picture " << position;
    for (size_t i = 0; i < of_picture.size(); ++i, ++count) {
      EXPECT_NEAR(other[i].score, of_picture[i].score, 1e-4);
      EXPECT_EQ(other[i].class_index, of_picture[i].class_index);
    }
  }
  EXPECT_GT(count, 100u) << "there is something to compare";
  const ValidationResult &a = found.report.result, &b = expected.report.result;
  EXPECT_NEAR(a.losses.box, b.losses.box, 1e-5 * b.losses.box);
  EXPECT_NEAR(a.losses.objectness, b.losses.objectness, 1e-5 * b.losses.objectness);
  EXPECT_NEAR(a.losses.classes, b.losses.classes, 1e-5);
  EXPECT_GT(b.losses.box, 0);
  EXPECT_NEAR(a.precision, b.precision, 1e-6);
  EXPECT_NEAR(a.recall, b.recall, 1e-6);
  EXPECT_NEAR(a.map50, b.map50, 1e-6);
  EXPECT_NEAR(a.map, b.map, 1e-6);
  EXPECT_EQ(found.report.metrics.images, expected.report.metrics.images);
  EXPECT_EQ(found.report.confusion.counts, expected.report.confusion.counts);
}

TEST_F(ValidationTest, InPiecesFindsTheSame) {
  const Found whole = found(0);
  EXPECT_THAT(whole.piece_sizes, ElementsAre(5u, 3u));
  expect_same(found(8), whole);
  const Found threes = found(3);
  EXPECT_THAT(threes.piece_sizes, ElementsAre(3u, 2u, 3u));
  expect_same(threes, whole);
  const Found twos = found(2);
  EXPECT_THAT(twos.piece_sizes, ElementsAre(2u, 2u, 1u, 2u, 1u));
  expect_same(twos, whole);
  const Found ones = found(1);
  EXPECT_EQ(ones.piece_sizes.size(), 8u);
  expect_same(ones, whole);
}

TEST_F(ValidationTest, HalvesWhereMemoryRunsOut) {
  const Found whole = found(0);
  const int64_t before = memory::counters().current_bytes;
  const auto peak_of = [&](int pictures) {
    memory::reset_peak();
    found(pictures);
    return memory::counters().peak_bytes - before;
  };
  const int64_t of_five = peak_of(0), of_two = peak_of(2);
  ASSERT_LT(of_two, of_five);
  memory::set_budget(before + (of_two + of_five) / 2);
  std::vector<int> asked;
  const Found halved = found(0, [&](int pictures) {
    asked.push_back(pictures);
    EXPECT_TRUE(memory::take_shortage().has_value());
    return pictures / 2;
  });
  EXPECT_THAT(asked, ElementsAre(5));
  EXPECT_EQ(last_pictures_a_forward_, 2) << "kept for the groups that follow";
  EXPECT_THAT(halved.piece_sizes, ElementsAre(2u, 2u, 1u, 2u, 1u));
  memory::set_budget(0);
  expect_same(halved, whole);
  EXPECT_EQ(memory::counters().current_bytes, before);
}

// The pictures at the end of a run are drawn by one rank, which has planned for its slices.
TEST_F(ValidationTest, FindsObjectsWithinTheSamePieces) {
  ValidationJob job = validation_job(training());
  const std::vector<data::Sample> samples = samples_of_group(job, 0, 0, 5);
  const int64_t before = memory::counters().current_bytes;
  const auto peak_of = [&](int pictures, std::vector<std::vector<eval::Detection>>& found) {
    job.pictures_a_forward = pictures;
    memory::reset_peak();
    found = find_objects(job, *training().model, samples);
    return memory::counters().peak_bytes - before;
  };
  std::vector<std::vector<eval::Detection>> whole, in_pieces;
  const int64_t of_five = peak_of(0, whole), of_two = peak_of(2, in_pieces);
  ASSERT_LT(of_two, of_five);
  ASSERT_EQ(whole.size(), 5u);
  ASSERT_EQ(in_pieces.size(), 5u);
  for (size_t picture = 0; picture < 5; ++picture) {
    ASSERT_EQ(in_pieces[picture].size(), whole[picture].size());
    ASSERT_FALSE(whole[picture].empty());
    EXPECT_NEAR(in_pieces[picture][0].score, whole[picture][0].score, 1e-4);
  }
  memory::set_budget(before + (of_two + of_five) / 2);
  EXPECT_NO_THROW(find_objects(job, *training().model, samples));
  job.pictures_a_forward = 0;
  EXPECT_THROW(find_objects(job, *training().model, samples), c10::OutOfMemoryError);
  EXPECT_EQ(memory::take_shortage().value().mark.phase, memory::Phase::validation);
}

TEST_F(ValidationTest, WithoutAnAnswerPassesTheShortageOn) {
  memory::set_budget(memory::counters().current_bytes + 4096);
  EXPECT_THROW(found(0), c10::OutOfMemoryError);
  EXPECT_TRUE(memory::take_shortage().has_value());
}

}  // namespace
}  // namespace yolodist::train
