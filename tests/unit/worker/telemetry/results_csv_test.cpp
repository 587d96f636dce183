// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/telemetry/results_csv.h"

#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

#include "common/base/atomic_file.h"
#include "common/base/error.h"
#include "tests/unit/worker/telemetry/folder.h"

namespace yolodist::telemetry {
namespace {

EpochResult result_of(int epoch) {
  EpochResult result;
  result.epoch = epoch;
  result.train_box = 0.1234567;
  result.train_obj = 0.05;
  result.train_cls = 0;
  result.precision = 1;
  result.recall = 2.0 / 3;
  result.map50 = 1e-7;
  result.map = 123456;
  result.val_box = std::nan("");
  result.val_obj = -std::nan("");
  result.val_cls = std::numeric_limits<double>::infinity();
  result.lr = {0.1, 0.0033, 0.01};
  return result;
}

constexpr const char* kHeader =
    "               epoch,      train/box_loss,      train/obj_loss,      train/cls_loss,"
    "   metrics/precision,      metrics/recall,     metrics/mAP_0.5,metrics/mAP_0.5:0.95,"
    "        val/box_loss,        val/obj_loss,        val/cls_loss,"
    "               x/lr0,               x/lr1,               x/lr2";

// What the reference run of Python prints for these values.
std::string expected_row(const std::string& epoch) {
  return epoch +
         ",             0.12346,                0.05,                   0,"
         "                   1,             0.66667,               1e-07,          1.2346e+05,"
         "                 nan,                 nan,                 inf,"
         "                 0.1,              0.0033,                0.01";
}

TEST(ResultsCsv, HasThePeersBytes) {
  EXPECT_EQ(results_header(), kHeader);
  EXPECT_EQ(results_row(result_of(0)), expected_row("                   0"));
  EXPECT_EQ(results_row(result_of(299)), expected_row("                 299"));
}

TEST(ResultsCsv, WritesTheHeaderOnce) {
  const Folder folder;
  const auto file = folder.path / "results.csv";
  append_result(file, result_of(0));
  append_result(file, result_of(1));
  EXPECT_EQ(read_file(file), std::string(kHeader) + "\n" + expected_row("                   0") + "\n" +
                                 expected_row("                   1") + "\n");
}

TEST(ResultsLog, KeepsWhatCannotBeWrittenForTheNextTime) {
  const Folder folder;
  const auto file = folder.path / "later" / "results.csv";
  ResultsLog log(file);
  log.add(result_of(0));
  EXPECT_THROW(log.flush(), StorageError);
  log.add(result_of(1));
  EXPECT_THROW(log.flush(), StorageError);
  std::filesystem::create_directories(file.parent_path());
  log.flush();
  log.flush();
  EXPECT_EQ(read_file(file), std::string(kHeader) + "\n" + expected_row("                   0") + "\n" +
                                 expected_row("                   1") + "\n");
}

TEST(ResultsCsv, WritesTheHeaderIntoAnEmptyFile) {
  const Folder folder;
  const auto file = folder.path / "results.csv";
  std::ofstream(file).close();
  append_result(file, result_of(0));
  EXPECT_EQ(read_file(file), std::string(kHeader) + "\n" + expected_row("                   0") + "\n");
}

TEST(ResultsCsv, IsCutAtAnEpochAndLosesHalfALine) {
  const Folder folder;
  const auto file = folder.path / "results.csv";
  for (int epoch = 0; epoch < 12; ++epoch) {
    append_result(file, result_of(epoch));
  }
  std::ofstream(file, std::ios::app) << "                  12,      0.12";
  cut_results(file, 2);
  const std::string two = std::string(kHeader) + "\n" + expected_row("                   0") + "\n" +
                          expected_row("                   1") + "\n";
  EXPECT_EQ(read_file(file), two);
  std::ofstream(file, std::ios::app) << "                   1,      0.12\n";
  cut_results(file, 100);
  EXPECT_EQ(read_file(file), two);
  cut_results(file, 0);
  EXPECT_EQ(read_file(file), std::string(kHeader) + "\n");
}

TEST(ResultsCsv, CuttingWhatIsNotThereDoesNothing) {
  const Folder folder;
  cut_results(folder.path / "results.csv", 3);
  EXPECT_FALSE(std::filesystem::exists(folder.path / "results.csv"));
}

TEST(ResultsCsv, NamesTheFileItCannotWrite) {
  const Folder folder;
  try {
    append_result(folder.path / "absent" / "results.csv", result_of(0));
    FAIL() << "no exception";
  } catch (const StorageError& error) {
    EXPECT_NE(error.one_line().find("absent/results.csv: cannot open for appending: No such file"),
              std::string::npos)
        << error.one_line();
  }
  EXPECT_THROW(append_result("/dev/full", result_of(0)), StorageError);
}

}  // namespace
}  // namespace yolodist::telemetry
