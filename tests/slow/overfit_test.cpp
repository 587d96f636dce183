// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
// Eight pictures of bccd, learnt by heart: a trainer that learns finds again what it was shown.
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <vector>

#include "common/base/log.h"
#include "common/run/run_directory.h"
#include "tests/support/local_training.h"
#include "tests/support/temporary_folder.h"
#include "worker/train/validation.h"

namespace yolodist {
namespace {

namespace fs = std::filesystem;

// The first eight training pictures with their labels, and a yaml that validates on them.
fs::path eight_pictures(const fs::path& bccd, const fs::path& folder) {
  std::vector<fs::path> pictures;
  for (const auto& entry : fs::directory_iterator(bccd / "images/train")) {
    pictures.push_back(entry.path());
  }
  std::sort(pictures.begin(), pictures.end());
  pictures.resize(8);
  fs::create_directories(folder / "images");
  fs::create_directories(folder / "labels");
  for (const fs::path& picture : pictures) {
    const fs::path label = picture.stem().string() + ".txt";
    fs::copy_file(picture, folder / "images" / picture.filename());
    fs::copy_file(bccd / "labels/train" / label, folder / "labels" / label);
  }
  std::ofstream(folder / "eight.yaml") << "train: images\nval: images\nnames: [Platelets, RBC, WBC]\n";
  return folder / "eight.yaml";
}

TEST(Overfit, EightPicturesAreLearntByHeart) {
  const fs::path bccd = YOLODIST_SOURCE_DIR "/../shared/data/bccd";
  if (!fs::exists(bccd)) {
    GTEST_SKIP() << "the bccd test data are not beside the source tree";
  }
  log::configure({.console_level = log::Level::error, .prefix = ""});
  at::set_num_threads(2);
  const test::TemporaryFolder folder;
  config::TrainOptions options = test::sample_options(320);
  options.data = eight_pictures(bccd, folder.path() / "data").string();
  options.global_batch = 8;
  options.accumulate = 1;
  options.augment = false;
  options.epochs = 400;
  options.patience = 0;
  options.no_save = true;
  const auto run = run::create_run_directory(folder.path() / "runs", "exp", false);
  const test::LocalRun trained = test::train_locally(options, 1, run.root.string());

  // Judged on the very inputs that were trained on: squares. The rectangles of ordinary validation put the pictures
  // half a stride beside their places in training, and a network without augmentation knows them by heart there only.
  train::Training& t = *trained.ranks[0];
  std::fill(t.val_batches.shapes.begin(), t.val_batches.shapes.end(), data::Shape{320, 320});
  const train::ValidationReport report = train::validate(t, t.ema->model());
  EXPECT_GE(report.result.map50, 0.9);
}

}  // namespace
}  // namespace yolodist
