// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/run/run_directory.h"

#include <unistd.h>

#include <chrono>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "common/base/atomic_file.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/thrown.h"

namespace yolodist::run {
namespace {

namespace fs = std::filesystem;
using test::TemporaryFolder;
using test::thrown;
using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

TEST(CreateRunDirectory, TakesTheFirstFreeNumberAndNeverOne) {
  const TemporaryFolder folder;
  const fs::path project = folder / "runs/train";
  EXPECT_EQ(create_run_directory(project, "exp", false).root, project / "exp");
  EXPECT_EQ(create_run_directory(project, "exp", false).root, project / "exp2");
  EXPECT_EQ(create_run_directory(project, "exp", false).root, project / "exp3");
  fs::remove_all(project / "exp2");
  EXPECT_EQ(create_run_directory(project, "exp", false).root, project / "exp2");
}

TEST(CreateRunDirectory, MakesTheFolders) {
  const TemporaryFolder folder;
  const RunDirectory run = create_run_directory(folder.path(), "exp", false);
  EXPECT_TRUE(fs::is_directory(run.weights_folder()));
  EXPECT_TRUE(fs::is_directory(run.logs_folder()));
  EXPECT_TRUE(fs::is_directory(run.failures_folder()));
}

TEST(CreateRunDirectory, ExistOkReuses) {
  const TemporaryFolder folder;
  create_run_directory(folder.path(), "exp", true);
  EXPECT_EQ(create_run_directory(folder.path(), "exp", true).root, folder / "exp");
}

TEST(CreateRunDirectory, NamesMayHaveFoldersAndPoints) {
  const TemporaryFolder folder;
  create_run_directory(folder.path(), "a/v1.5", false);
  EXPECT_EQ(create_run_directory(folder.path(), "a/v1.5", false).root, folder / "a/v1.52");
}

TEST(CreateRunDirectory, JobsThatStartTogetherGetDifferentRuns) {
  const TemporaryFolder folder;
  constexpr int job_count = 8;
  std::vector<std::string> roots(job_count);
  {
    std::vector<std::jthread> jobs;
    for (std::string& root : roots) {
      jobs.emplace_back([&] { root = create_run_directory(folder.path(), "exp", false).root.string(); });
    }
  }
  EXPECT_EQ(std::set<std::string>(roots.begin(), roots.end()).size(), static_cast<size_t>(job_count));
}

TEST(CreateRunDirectory, RefusesNamesThatAreNone) {
  const TemporaryFolder folder;
  for (const char* name : {"", "/abs", "..", "../up", "a/../../up", ".", "a/"}) {
    EXPECT_THAT(thrown<UsageError>([&] { create_run_directory(folder.path(), name, false); }),
                HasSubstr("--name"))
        << name;
  }
}

TEST(CreateRunDirectory, NamesAProjectThatIsAFile) {
  const TemporaryFolder folder;
  const fs::path file = folder.write("file", "");
  EXPECT_THAT(thrown<StorageError>([&] { create_run_directory(file, "exp", false); }),
              HasSubstr(file.string()));
  EXPECT_THAT(thrown<StorageError>([&] { create_run_directory(file / "deeper", "exp", true); }),
              HasSubstr(file.string()));
}

TEST(RunDirectory, NamesItsFiles) {
  const RunDirectory run{"r"};
  EXPECT_EQ(run.weights_epoch(7), "r/weights/epoch7.pt");
  EXPECT_EQ(run.rank_log(3), "r/logs/rank-3.log");
  EXPECT_EQ(run.data_log(), "r/logs/data.txt");
  EXPECT_EQ(run.failure_report(1, 2), "r/failures/attempt-1.rank-2.json");
}

// Two runs: exp has a checkpoint, exp2 only its run.yaml.
class ResumeTest : public testing::Test {
 protected:
  ResumeTest() {
    last_ = folder_.write("p/exp/weights/last.pt", "x");
    best_ = folder_.write("p/exp/weights/best.pt", "x");
    yaml_ = folder_.write("p/exp2/run.yaml", "schema: 1\n");
    fs::create_directories(folder_ / "p/empty");
  }
  fs::path found(const fs::path& path) const { return find_run_to_resume(path, folder_ / "p").root; }
  void age(const fs::path& file, int hours) const {
    fs::last_write_time(file, fs::file_time_type::clock::now() - std::chrono::hours(hours));
  }

  TemporaryFolder folder_;
  fs::path last_, best_, yaml_;
};

TEST_F(ResumeTest, TakesTheNewestRun) {
  age(last_, 1);
  age(yaml_, 2);
  EXPECT_EQ(found(""), folder_ / "p/exp");
  age(yaml_, 0);
  EXPECT_EQ(found(""), folder_ / "p/exp2");
}

TEST_F(ResumeTest, ACheckpointCountsMoreThanTheRunYamlBesideIt) {
  folder_.write("p/exp/run.yaml", "schema: 1\n");
  age(last_, 3);
  age(yaml_, 2);
  EXPECT_EQ(found(""), folder_ / "p/exp2");
}

TEST_F(ResumeTest, TakesRunsCheckpointsAndNames) {
  EXPECT_EQ(found(folder_ / "p/exp"), folder_ / "p/exp");
  EXPECT_EQ(found((folder_ / "p/exp").string() + "/"), folder_ / "p/exp");
  EXPECT_EQ(found(folder_ / "p/exp/weights"), folder_ / "p/exp");
  EXPECT_EQ(found(last_), folder_ / "p/exp");
  EXPECT_EQ(found(best_), folder_ / "p/exp");
  EXPECT_EQ(found(yaml_), folder_ / "p/exp2");
  EXPECT_EQ(found("exp2"), folder_ / "p/exp2");
}

TEST_F(ResumeTest, RefusesWhatIsNoRun) {
  const auto refusal = [&](const fs::path& path) { return thrown<DataError>([&] { found(path); }); };
  EXPECT_THAT(refusal(folder_ / "none"), HasSubstr("does not exist"));
  EXPECT_THAT(refusal("exp9"), HasSubstr("does not exist"));
  EXPECT_THAT(refusal(folder_ / "p/empty"), HasSubstr("neither weights/last.pt nor run.yaml"));
  EXPECT_THAT(refusal(folder_.write("loose.pt", "x")), AllOf(HasSubstr("loose.pt"), HasSubstr("--weights")));
  EXPECT_THAT(thrown<DataError>([&] { find_run_to_resume("", folder_ / "p/empty"); }),
              HasSubstr("no run to resume"));
  EXPECT_THAT(thrown<DataError>([&] { find_run_to_resume("", folder_ / "nowhere"); }),
              HasSubstr("no run to resume"));
}

TEST(RunYaml, BeginsWithTheSchemaAndReadsBack) {
  const TemporaryFolder folder;
  const RunDirectory run{folder.path()};
  write_run_yaml(run, {{"version", "0.1.0"}, {"schema", 9}, {"options", {{"epochs", 3}, {"freeze", {0}}}}});
  EXPECT_THAT(read_file(run.run_yaml()), StartsWith("schema: 1\nversion: "));
  const nlohmann::json document = read_run_yaml(run);
  EXPECT_EQ(document["options"]["epochs"], 3);
  EXPECT_EQ(document["schema"], 1);
}

TEST(RunYaml, RefusesWhatIsNone) {
  const TemporaryFolder folder;
  const RunDirectory run{folder.path()};
  EXPECT_THAT(thrown<DataError>([&] { read_run_yaml(run); }), HasSubstr("run.yaml"));
  folder.write("run.yaml", "epochs: 3\n");
  EXPECT_THAT(thrown<DataError>([&] { read_run_yaml(run); }), HasSubstr("no schema"));
  folder.write("run.yaml", "- 3\n");
  EXPECT_THAT(thrown<DataError>([&] { read_run_yaml(run); }), HasSubstr("no schema"));
  folder.write("run.yaml", "schema: 2\n");
  EXPECT_THAT(thrown<DataError>([&] { read_run_yaml(run); }), HasSubstr("schema 2"));
  folder.write("run.yaml", "schema: 1\na: [\n");
  EXPECT_THAT(thrown<DataError>([&] { read_run_yaml(run); }), HasSubstr("run.yaml:"));
}

}  // namespace
}  // namespace yolodist::run
