// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>

#include "common/base/error.h"
#include "common/base/text.h"
#include "common/run/ownership.h"
#include "common/run/run_directory.h"
#include "launcher/commands/placement.h"
#include "launcher/commands/prepare_run.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/thrown.h"

namespace yolodist::commands {
namespace {

using test::thrown;
using testing::AllOf;
using testing::HasSubstr;

Place place(int rank, int node, const device::Cores& cores, const char* uuid = nullptr) {
  Place result;
  result.rank = rank;
  result.node = node;
  result.host = cat("host", node);
  result.cores = cores;
  if (uuid != nullptr) {
    result.device = device::CudaDevice{0, uuid, "00000000:01:00.0", "Card", Bytes{int64_t{16} << 30}};
  }
  return result;
}

TEST(SettlePlaces, DividesTheUnionOfTheMasksOfEachHost) {
  std::vector<Place> places = {place(0, 0, {0, 1}), place(1, 0, {2, 3}), place(2, 2, {0, 1, 2, 3, 4, 5})};
  settle_places(places, 0);
  EXPECT_EQ(places[0].threads, 2);
  EXPECT_EQ(places[1].threads, 2);
  EXPECT_EQ(places[2].threads, 6);
  settle_places(places, 3);
  EXPECT_EQ(places[0].threads, 3) << "--threads has the last word";
}

TEST(SettlePlaces, RefusesADeviceTwiceAndDevicesOnSomeRanksOnly) {
  std::vector<Place> twice = {place(0, 0, {0}, "GPU-1"), place(1, 0, {0}, "GPU-1")};
  EXPECT_THAT(thrown<DeviceUnavailable>([&] { settle_places(twice, 0); }),
              AllOf(HasSubstr("ranks 0 and 1"), HasSubstr("GPU-1")));
  std::vector<Place> mixed = {place(0, 0, {0}, "GPU-1"), place(1, 1, {0})};
  EXPECT_THAT(thrown<DeviceUnavailable>([&] { settle_places(mixed, 0); }),
              HasSubstr("rank 1 on host1 has none"));
  std::vector<Place> other_host = {place(0, 0, {0}, "GPU-1"), place(1, 1, {0}, "GPU-2")};
  EXPECT_NO_THROW(settle_places(other_host, 0));
}

TEST(PlacesTable, HasALineARank) {
  std::vector<Place> places = {place(0, 0, {0, 1, 2}), place(1, 1, {4}, "GPU-1")};
  settle_places(places = {places[0]}, 0);
  EXPECT_EQ(places_table(places), "  rank  host   device  cores  threads\n     0  host0  cpu     0-2    3");
}

class PrepareRun : public testing::Test {
 protected:
  PrepareRun() {
    folder_.write("data.yaml", "train: images\nval: images\nnames: [a, b]\n");
    std::filesystem::create_directories(folder_ / "images");
    setenv("YOLODIST_SHARE", YOLODIST_SOURCE_DIR "/share/yolodist", 1);
  }
  cli::TrainCommandLine line(std::vector<std::string> words) {
    for (const std::string& word : {std::string("--project"), (folder_ / "runs").string()}) {
      words.push_back(word);
    }
    return cli::parse_train(words);
  }
  cli::TrainCommandLine fresh(std::vector<std::string> words = {}) {
    words.insert(words.begin(), {"--data", (folder_ / "data.yaml").string(), "--cfg", "yolov5n.yaml"});
    return line(words);
  }
  test::TemporaryFolder folder_;
};

TEST_F(PrepareRun, ResolvesAndStoresEveryOption) {
  const RunPlan plan = prepare_run(fresh({"--batch", "7"}), 3);
  EXPECT_EQ(plan.run_directory, (folder_ / "runs/exp").string());
  EXPECT_EQ(plan.options.bn_group, 3) << "ceil(7 / 3)";
  EXPECT_EQ(plan.options.cfg, "yolov5n") << "a shipped model stays a name";
  EXPECT_EQ(plan.options.hyp, "hyp.scratch-low");
  EXPECT_EQ(plan.options.data, (folder_ / "data.yaml").string());
  EXPECT_EQ(plan.resume_checkpoint, "");
  EXPECT_TRUE(run::still_ours({plan.run_directory}, plan.run_token));
  EXPECT_TRUE(std::filesystem::exists(folder_ / "runs/exp/run.yaml"));
  EXPECT_EQ(prepare_run(fresh(), 1).run_directory, (folder_ / "runs/exp2").string());

  const protocol::Start start = start_of(plan);
  EXPECT_EQ(start.command, "train");
  EXPECT_EQ(start.run_directory, plan.run_directory);
  EXPECT_EQ(start.options.bn_group, 3);
  EXPECT_EQ(start.run_token, plan.run_token);
}

TEST_F(PrepareRun, BadInputIsFoundBeforeARunDirectoryIsMade) {
  EXPECT_THAT(thrown<DataError>([&] {
                prepare_run(line({"--data", "nowhere.yaml", "--cfg", "yolov5n"}), 1);
              }),
              HasSubstr("nowhere.yaml"));
  EXPECT_THAT(thrown<DataError>([&] { prepare_run(fresh({"--cfg", "yolov5q"}), 1); }), HasSubstr("yolov5q"));
  EXPECT_THAT(thrown<DataError>([&] {
                prepare_run(fresh({"--hyp", "hyp.scratch-lwo"}), 1);
              }),
              HasSubstr("hyp.scratch-low"));
  EXPECT_THAT(thrown<DataError>([&] {
                prepare_run(fresh({"--weights", "dir/yolov5m6.pt"}), 1);
              }),
              HasSubstr("curl -L -o dir/yolov5m6.pt "
                        "https://github.com/ultralytics/yolov5/releases/download/v7.0/yolov5m6.pt"));
  EXPECT_THAT(thrown<UsageError>([&] {
                prepare_run(fresh({"--batch", "4", "--shard", "2,2"}), 3);
              }),
              HasSubstr("--shard is for 2 ranks, but there are 3"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "runs"));
}

TEST_F(PrepareRun, TheNameCfgIsThatOfTheModel) {
  EXPECT_EQ(prepare_run(fresh({"--name", "cfg"}), 1).run_directory, (folder_ / "runs/yolov5n").string());
}

TEST_F(PrepareRun, ResumeKeepsTheRecipeAndTakesExecutionFromNow) {
  prepare_run(
      fresh({"--batch", "7", "--workers", "3", "--max-steps", "5", "--threads", "2", "--net-if", "ib0"}), 2);
  const RunPlan plan = prepare_run(line({"--resume", "--patience", "9"}), 3);
  EXPECT_EQ(plan.run_directory, (folder_ / "runs/exp").string());
  EXPECT_EQ(plan.options.global_batch, 7);
  EXPECT_EQ(plan.options.bn_group, 4) << "as the run began, on 2 ranks";
  EXPECT_EQ(plan.options.workers, 3);
  EXPECT_EQ(plan.options.patience, 9);
  EXPECT_EQ(plan.options.max_steps, 0) << "a limit of the earlier start does not stop this one";
  EXPECT_EQ(plan.options.threads, 0);
  EXPECT_EQ(plan.options.net_if, "");
  EXPECT_EQ(plan.options.ranks, 3);
  EXPECT_TRUE(plan.options.resume);
}

TEST_F(PrepareRun, ResumeRefusesAnotherRecipe) {
  prepare_run(fresh({"--batch", "7"}), 2);
  EXPECT_THAT(thrown<UsageError>([&] {
                prepare_run(line({"--resume", "--batch", "8", "--cos-lr"}), 2);
              }),
              AllOf(HasSubstr("--batch-size was 7, now 8"), HasSubstr("--cos-lr was false, now true")));
  EXPECT_NO_THROW(prepare_run(line({"--resume", "--batch", "7", "--cfg", "yolov5n", "--bn-group", "auto",
                                    "--data", (folder_ / "data.yaml").string()}),
                              2))
      << "the same, said again";
}

TEST_F(PrepareRun, ResumeFindsTheCheckpoint) {
  prepare_run(fresh(), 1);
  const std::string last = folder_.write("runs/exp/weights/last.pt", "x").string();
  const std::string best = folder_.write("runs/exp/weights/best.pt", "x").string();
  EXPECT_EQ(prepare_run(line({"--resume"}), 1).resume_checkpoint, last);
  EXPECT_EQ(prepare_run(line({"--resume", best}), 1).resume_checkpoint, best);
  EXPECT_THROW(prepare_run(line({"--resume", (folder_ / "nothing").string()}), 1), DataError);
}

}  // namespace
}  // namespace yolodist::commands
