// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/commands/monitor.h"

#include <gmock/gmock.h>

#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>

#include "common/base/error.h"
#include "common/base/exit_code.h"
#include "common/base/text.h"
#include "common/run/failure_report.h"
#include "launcher/cli/monitor_command_line.h"
#include "launcher/commands/monitor_table.h"
#include "launcher/commands/run_reader.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/thrown.h"

namespace yolodist::commands {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;
using test::thrown;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

constexpr int64_t mebibyte = int64_t{1} << 20;

double now_s() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// A run directory that the test writes as a training run does.
class MonitorTest : public testing::Test {
 protected:
  MonitorTest() { write_run(2); }

  void write_run(int world_size, const ordered_json& device_memory = 0) {
    run_ = {folder_.path() / "exp"};
    std::filesystem::create_directories(run_.failures_folder());
    run::write_run_yaml(run_, {{"command", "train"},
                               {"host", "node7"},
                               {"world_size", world_size},
                               {"options",
                                {{"cfg", "yolov5n"},
                                 {"imgsz", 1280},
                                 {"batch_size", 8},
                                 {"epochs", 3},
                                 {"device_memory", device_memory}}}});
  }
  void write_plan(const std::vector<json>& plans) {
    json document = {{"schema", 1}, {"plans", json::array()}};
    for (const json& plan : plans) {
      document["plans"].push_back({{"attempt", 0}, {"since_iteration", 0}, {"plan", plan}});
    }
    std::ofstream(run_.plan_json()) << document;
  }
  static json plan_of(int64_t peak_bytes, const json& budget_bytes) {
    return {{"ranks",
             {{{"rank", 0}, {"budget_bytes", budget_bytes}, {"peak_bytes", {{"allocator", peak_bytes}}}},
              {{"rank", 1}, {"budget_bytes", budget_bytes}, {"peak_bytes", {{"allocator", peak_bytes}}}}}}};
  }
  void append(const std::string& text) { std::ofstream(run_.metrics_jsonl(), std::ios::app) << text; }
  void add(const json& row) { append(row.dump() + "\n"); }
  static json sample(int rank, int64_t used_bytes, int64_t peak_bytes, double age_s = 0) {
    return {{"type", "sample"},
            {"attempt", 0},
            {"time_s", now_s() - age_s},
            {"rank", rank},
            {"iteration", 5},
            {"allocated_bytes", used_bytes},
            {"peak_bytes", peak_bytes},
            {"reserved_bytes", used_bytes},
            {"host_bytes", 3 * mebibyte},
            {"phase", "backward"}};
  }
  static json iteration(int64_t number) {
    return {{"type", "iteration"},
            {"epoch", 1},
            {"iteration", number},
            {"step", 2},
            {"loss", {{"box", 0.1}, {"obj", 0.25}, {"cls", 0.05}, {"total", 0.4}}},
            {"images_per_s", 12.34},
            {"ranks", {{{"rank", 0}, {"allocated_bytes", 1}, {"peak_bytes", 2 * mebibyte}}}}};
  }
  static json event(const std::string& name, const std::string& detail = "") {
    return {{"type", "event"}, {"attempt", 0}, {"iteration", 5}, {"event", name}, {"detail", detail}};
  }
  std::vector<std::string> table(RunReader& reader, const Screen& screen = {}) {
    return monitor_table(reader.refresh(), screen);
  }
  std::vector<std::string> table() {
    RunReader reader(run_);
    return table(reader);
  }

  test::TemporaryFolder folder_;
  run::RunDirectory run_;
};

TEST_F(MonitorTest, ShowsEveryRank) {
  write_plan({plan_of(1, 1), plan_of(190 * mebibyte, 200 * mebibyte)});
  add(iteration(4));
  add(sample(0, 100 * mebibyte, 180 * mebibyte));
  add(sample(1, 50 * mebibyte, 60 * mebibyte));
  EXPECT_THAT(
      table(),
      ElementsAre(
          run_.root.string() + ": running", "yolov5n, 1280 px, batch 8, 2 ranks, rank 0 on node7",
          "epoch 1/2, iteration 4, step 2, 12.3 img/s, loss 0.4 (box 0.1, obj 0.25, cls 0.05)", "",
          "rank  phase             used       peak       plan     budget       host  peak of budget",
          "   0  backward       100 MiB    180 MiB    190 MiB    200 MiB   3.00 MiB     90.0% |█████████ |",
          "   1  backward      50.0 MiB   60.0 MiB    190 MiB    200 MiB   3.00 MiB     30.0% |███       |"));
}

TEST_F(MonitorTest, SaysWhatOtherProcessesHold) {
  json of_card = sample(0, 100 * mebibyte, 180 * mebibyte);
  of_card["other_processes_bytes"] = 3 * mebibyte;
  add(of_card);
  add(sample(1, 50 * mebibyte, 60 * mebibyte));
  EXPECT_THAT(table()[5], HasSubstr("other processes hold 3.00 MiB"));
  EXPECT_THAT(table()[6], Not(HasSubstr("other processes")));
}

TEST_F(MonitorTest, ShowsWhatThereIsBeforeAnythingIsMeasured) {
  EXPECT_THAT(table(), ElementsAre(HasSubstr("starting"), HasSubstr("2 ranks"), HasSubstr("no iteration"), "",
                                   StartsWith("rank"), AllOf(StartsWith("   0  -"), HasSubstr(" -")),
                                   StartsWith("   1  -")));
}

TEST_F(MonitorTest, WithoutABudgetThereIsNoBar) {
  write_plan({plan_of(10 * mebibyte, nullptr)});
  add(sample(0, mebibyte, 2 * mebibyte));
  EXPECT_THAT(table()[5], AllOf(HasSubstr("10.0 MiB"), Not(HasSubstr("%"))));
}

TEST_F(MonitorTest, TheBudgetOfTheRunStandsInForAPlan) {
  write_run(1, 8 * mebibyte);
  add(sample(0, mebibyte, 2 * mebibyte));
  EXPECT_THAT(table()[5], AllOf(HasSubstr("8.00 MiB"), HasSubstr("25.0%")));
}

TEST_F(MonitorTest, RanksMayHaveBudgetsOfTheirOwn) {
  write_run(3, {"6MiB", 4 * mebibyte, "much"});
  const RunView run = RunReader(run_).refresh();
  EXPECT_EQ(run.ranks[0].budget_bytes, 6 * mebibyte);
  EXPECT_EQ(run.ranks[1].budget_bytes, 4 * mebibyte);
  EXPECT_EQ(run.ranks[2].budget_bytes, 0);
}

TEST_F(MonitorTest, FollowsARunThatGoesOn) {
  RunReader reader(run_);
  EXPECT_EQ(reader.refresh().state, RunState::starting);
  add(event("start"));
  add(sample(0, mebibyte, 5 * mebibyte));
  EXPECT_EQ(reader.refresh().state, RunState::running);
  EXPECT_EQ(reader.refresh().ranks[0].used_bytes, mebibyte);
  const std::string line = iteration(7).dump() + "\n";
  append(line.substr(0, 20));
  EXPECT_FALSE(reader.refresh().iteration) << "half a line is not read";
  append(line.substr(20));
  EXPECT_EQ(reader.refresh().iteration.value().iteration, 7);
  EXPECT_EQ(reader.refresh().ranks[0].peak_bytes, 5 * mebibyte) << "that of one iteration is below";
  write_plan({plan_of(9 * mebibyte, 10 * mebibyte)});
  EXPECT_EQ(reader.refresh().ranks[1].planned_bytes, 9 * mebibyte);
  add(event("out_of_memory", "rank 1 ran out of memory in backward: recompute activations"));
  add(event("start"));  // workers start again: their peaks begin anew, the plan stays
  EXPECT_EQ(reader.refresh().ranks[0].peak_bytes, 0);
  EXPECT_EQ(reader.refresh().ranks[1].planned_bytes, 9 * mebibyte);
  EXPECT_EQ(table(reader)[3], "iteration 5: rank 1 ran out of memory in backward: recompute activations");
  add(event("end", "complete"));
  EXPECT_EQ(reader.refresh().state, RunState::finished);
}

TEST_F(MonitorTest, SaysHowARunEnded) {
  add(sample(0, 1, 1, 3600));
  add(event("end", "complete"));
  EXPECT_THAT(table()[0], testing::EndsWith(": finished"));
  add(event("end", "stopped on request"));
  EXPECT_THAT(table()[0], testing::EndsWith(": finished: stopped on request"));
  add(sample(0, 1, 1));
  EXPECT_THAT(table()[0], testing::EndsWith(": running")) << "it was resumed";
}

TEST_F(MonitorTest, SaysThatARunIsSilent) {
  add(sample(0, 1, 1, 7300));
  EXPECT_THAT(table()[0], HasSubstr("not running: the last sign of life was 2 h ago"));
}

TEST_F(MonitorTest, WhatGrowsIsAliveWhateverTheClockSays) {
  add(sample(0, 1, 1, 7300));
  RunReader reader(run_);
  EXPECT_EQ(reader.refresh().state, RunState::silent);
  add(sample(0, 1, 1, 7299));
  EXPECT_EQ(reader.refresh().state, RunState::running);
}

TEST_F(MonitorTest, SaysWhyARunFailed) {
  add(sample(0, 1, 1, 60));
  run::FailureReport lost;
  lost.what = "lost rank 1";
  lost.exit_code = to_int(ExitCode::peer_lost);
  lost.time_ns = static_cast<int64_t>((now_s() - 59) * 1e9);
  run::write_failure_report(run_.failure_report(0, 0), lost);
  run::FailureReport cause = lost;
  cause.rank = 1;
  cause.host = "node8";
  cause.what = "killed by\x1b[2J signal 9";
  cause.exit_code = 137;
  run::write_failure_report(run_.failure_report(0, 1), cause);
  std::ofstream(run_.memory_report(0, 1, 0)) << "{}";
  std::ofstream(run_.failure_report(0, 2)) << "half a";
  EXPECT_THAT(table()[0], HasSubstr("failed: rank 1 on node8: killed by [2J signal 9"));
  cause.time_ns = static_cast<int64_t>((now_s() - 4000) * 1e9);
  run::write_failure_report(run_.failure_report(0, 1), cause);
  run::write_failure_report(run_.failure_report(0, 0), cause);
  EXPECT_THAT(table()[0], HasSubstr("not running")) << "a failure of before the run was resumed";
}

TEST_F(MonitorTest, BeginsAtTheEndOfALongFile) {
  for (int i = 0; i < 40; ++i) {
    append(std::string(200'000, 'x') + "\n");  // 8 MB of which no line can be read
  }
  add(sample(0, mebibyte, 2 * mebibyte));
  RunReader reader(run_);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(reader.refresh().ranks[0].used_bytes, mebibyte);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

TEST_F(MonitorTest, ReadsAgainWhatAResumeReplaced) {
  add(iteration(7));
  add(sample(0, mebibyte, 9 * mebibyte));
  RunReader reader(run_);
  EXPECT_EQ(reader.refresh().ranks[0].peak_bytes, 9 * mebibyte);
  std::ofstream(folder_.path() / "new") << iteration(3).dump() << "\n";
  std::filesystem::rename(folder_.path() / "new", run_.metrics_jsonl());
  EXPECT_EQ(reader.refresh().iteration.value().iteration, 3);
  EXPECT_EQ(reader.refresh().ranks[0].peak_bytes, 2 * mebibyte);
}

TEST_F(MonitorTest, AResumedRunMayHaveOtherRanks) {
  add(sample(1, 1, 1));
  RunReader reader(run_);
  EXPECT_EQ(reader.refresh().ranks.size(), 2U);
  write_run(3);
  std::filesystem::last_write_time(run_.run_yaml(),
                                   std::filesystem::file_time_type::clock::now() + std::chrono::seconds(2));
  EXPECT_EQ(reader.refresh().ranks.size(), 3U);
  add(sample(7, 1, 1));  // a rank that is not there
  EXPECT_EQ(reader.refresh().ranks.size(), 3U);
}

TEST_F(MonitorTest, BadLinesAndPlansAreLeftOut) {
  std::ofstream(run_.plan_json())
      << R"({"plans":[{"plan":{"ranks":[{"rank":"x"},7,{"rank":0,"peak_bytes":5}]}}]})";
  append(
      "no "
      "json\n[1]\n{\"type\":5}\n{\"type\":\"sample\"}\n{\"type\":\"iteration\",\"ranks\":[4],\"loss\":3}\n");
  json row = iteration(9);
  row["loss"]["total"] = nullptr;
  add(row);
  const std::vector<std::string> lines = table();
  EXPECT_THAT(lines[2], AllOf(HasSubstr("iteration 9"), HasSubstr("loss not finite")));
}

TEST_F(MonitorTest, FitsTheScreen) {
  write_run(20, 100 * mebibyte);
  for (int rank = 0; rank < 20; ++rank) {
    add(sample(rank, mebibyte, 99 * mebibyte));
  }
  RunReader reader(run_);
  const std::vector<std::string> lines = table(reader, {.columns = 90, .rows = 12, .has_colours = true});
  EXPECT_LE(lines.size(), 11U);
  EXPECT_THAT(lines.back(), HasSubstr("… and 15 more"));
  EXPECT_THAT(lines[5], AllOf(HasSubstr("\x1b[31m"), HasSubstr("\x1b[0m")));
  const std::vector<std::string> narrow = table(reader, {.columns = 10, .rows = 0, .has_colours = false});
  EXPECT_EQ(narrow[5], "   0  back");
  EXPECT_EQ(table(reader).size(), 5U + 20U);
}

TEST_F(MonitorTest, TheCommandFindsTheRun) {
  add(sample(0, 1, 1, 3600));
  add(event("end", "complete"));
  const std::string project = folder_.path().string();
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{run_.root.string(), "--once"},
                                             {"exp", "--project", project},
                                             {"--once", "--project=" + project}}) {
    testing::internal::CaptureStdout();
    EXPECT_EQ(monitor(words), 0);
    EXPECT_THAT(testing::internal::GetCapturedStdout(),
                AllOf(HasSubstr("exp: finished\n"), HasSubstr("rank  phase")));
  }
}

TEST_F(MonitorTest, MistakesAreNamed) {
  const std::string project = folder_.path().string();
  EXPECT_THAT(thrown<DataError>([&] {
                monitor({"none", "--project", project});
              }),
              HasSubstr("cannot watch none: it does not exist"));
  EXPECT_THAT(thrown<DataError>([&] {
                monitor({"--project", project + "/nowhere"});
              }),
              HasSubstr("there is no run to watch under"));
  EXPECT_THAT(thrown<UsageError>([&] { monitor({"a", "b"}); }), HasSubstr("stray word 'b'"));
  EXPECT_THAT(thrown<UsageError>([&] { monitor({"--twice"}); }), HasSubstr("--twice"));
  run::write_run_yaml(run_, {{"command", "val"}, {"options", {{"imgsz", 640}}}});
  EXPECT_THAT(thrown<DataError>([&] { monitor({run_.root.string()}); }), HasSubstr("not of a training run"));
  std::ofstream(run_.run_yaml()) << "schema: 1\n  bad: [";
  EXPECT_THAT(thrown<DataError>([&] { monitor({run_.root.string()}); }), HasSubstr("run.yaml"));
}

TEST(MonitorCommandLine, TakesARunAnywhere) {
  EXPECT_EQ(cli::parse_monitor({}).run, "");
  EXPECT_EQ(cli::parse_monitor({"exp3", "--once"}).run, "exp3");
  EXPECT_EQ(cli::parse_monitor({"--once", "exp3"}).run, "exp3");
  EXPECT_EQ(cli::parse_monitor({"--project", "p", "exp3"}).project, "p");
  EXPECT_TRUE(cli::parse_monitor({"--help"}).wants_help);
  EXPECT_THAT(cli::monitor_help(), AllOf(HasSubstr("monitor [RUN]"), HasSubstr("--once")));
}

}  // namespace
}  // namespace yolodist::commands
