// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/run/lineage.h"

#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

#include "tests/support/temporary_folder.h"

namespace yolodist::run {
namespace {

namespace fs = std::filesystem;

GetVariable from(std::map<std::string, std::string> values) {
  return [values = std::move(values)](const char* name) -> const char* {
    const auto found = values.find(name);
    return found == values.end() ? nullptr : found->second.c_str();
  };
}

TEST(Lineage, IsTheNameElseTheJob) {
  const GetVariable none = from({});
  const GetVariable job = from({{"SLURM_JOB_ID", "12"}, {"SLURM_RESTART_COUNT", "3"}});
  const GetVariable array = from({{"SLURM_JOB_ID", "15"},
                                  {"SLURM_ARRAY_JOB_ID", "12"},
                                  {"SLURM_ARRAY_TASK_ID", "2"},
                                  {"SLURM_CLUSTER_NAME", "c"}});
  EXPECT_EQ(lineage_of("", none), "");
  EXPECT_EQ(lineage_of("", job), "slurm 12");
  EXPECT_EQ(lineage_of("", array), "slurm c 12_2");
  EXPECT_EQ(lineage_of("big", none), "name big");
  EXPECT_EQ(lineage_of("big", job), "name big");
  EXPECT_EQ(lineage_of("big", array), "name big task 2");
}

TEST(Lineage, FindsTheNewestRunOfItsOwn) {
  const test::TemporaryFolder folder;
  const auto add = [&](const char* name, const char* lineage, int age_s) {
    const RunDirectory run{folder / name};
    fs::create_directories(run.root);
    write_run_yaml(run, lineage == nullptr ? nlohmann::ordered_json{{"host", "h"}}
                                           : nlohmann::ordered_json{{"lineage", lineage}});
    fs::last_write_time(run.run_yaml(), fs::file_time_type::clock::now() - std::chrono::seconds(age_s));
  };
  add("exp", "slurm 1", 1);
  add("exp2", "slurm 12", 30);
  add("exp3", "slurm 12", 20);
  add("exp4", nullptr, 0);
  fs::create_directories(folder / "no_run");
  folder.write("exp5/run.yaml", "{broken");
  EXPECT_EQ(find_lineage(folder.path(), "slurm 12").value().root, folder / "exp3");
  EXPECT_EQ(find_lineage(folder.path(), "slurm 1").value().root, folder / "exp");
  EXPECT_FALSE(find_lineage(folder.path(), "slurm 2").has_value());
  EXPECT_FALSE(find_lineage(folder / "nowhere", "slurm 1").has_value());
}

}  // namespace
}  // namespace yolodist::run
