// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/telemetry/metrics_jsonl.h"

#include <sys/resource.h>

#include <array>
#include <cmath>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>
#include <thread>

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "common/base/atomic_file.h"
#include "common/base/error.h"
#include "tests/unit/worker/telemetry/folder.h"
#include "worker/telemetry/append.h"

namespace yolodist::telemetry {
namespace {

IterationRow row_of(int64_t iteration) {
  IterationRow row;
  row.attempt = 1;
  row.epoch = 2;
  row.iteration = iteration;
  row.step = 7;
  row.imgsz_px = 1280;
  row.global_batch = 8;
  row.box = 0.1;
  row.obj = 1.0 / 3;
  row.cls = 0;
  row.total = 3.5;
  row.lr = {0.1, 0.01, 0.01};
  row.images_per_s = 2.5;
  row.ranks = {{0, 1000, 2000, 3000, 12.25}, {1, 1, 2, 3, 0}};
  return row;
}

TEST(MetricsLine, HasTheAgreedKeysInOrder) {
  EXPECT_EQ(
      metrics_line(row_of(41)),
      R"({"type":"iteration","attempt":1,"epoch":2,"iteration":41,"step":7,"imgsz":1280,"global_batch":8,)"
      R"("loss":{"box":0.1,"obj":0.3333333333333333,"cls":0.0,"total":3.5},"lr":[0.1,0.01,0.01],)"
      R"("images_per_s":2.5,"ranks":[{"rank":0,"allocated_bytes":1000,"peak_bytes":2000,"reserved_bytes":3000,)"
      R"("ready_ms":12.25},{"rank":1,"allocated_bytes":1,"peak_bytes":2,"reserved_bytes":3,"ready_ms":0.0}]})");
  EXPECT_EQ(
      metrics_line(EventRow{1, 40, "checkpoint", "weights/last.pt \"x\"\n\xff"}),
      R"({"type":"event","attempt":1,"iteration":40,"event":"checkpoint","detail":"weights/last.pt \"x\"\n)"
      "\xEF\xBF\xBD\"}");
}

SampleRow sample_of(int64_t iteration) {
  return {1, 1764066789.125, 3, iteration, 1000, 2000, 3000, 400, "backward"};
}

TEST(MetricsLine, ASampleHasTheAgreedKeysInOrder) {
  EXPECT_EQ(
      metrics_line(sample_of(41)),
      R"({"type":"sample","attempt":1,"time_s":1764066789.125,"rank":3,"iteration":41,)"
      R"("allocated_bytes":1000,"peak_bytes":2000,"reserved_bytes":3000,"host_bytes":400,"phase":"backward"})");
}

TEST(MetricsLine, ASampleSaysOfTheCardWhatIsKnown) {
  SampleRow row = sample_of(41);
  row.device_used_bytes = 9000;
  EXPECT_THAT(metrics_line(row), testing::EndsWith(R"("phase":"backward","device_used_bytes":9000})"));
  row.other_processes_bytes = 0;
  EXPECT_THAT(metrics_line(row), testing::EndsWith(R"("device_used_bytes":9000,"other_processes_bytes":0})"));
}

TEST(MetricsLine, NumbersReadBackToTheSameBits) {
  for (const double value : {0.1, 1.0 / 3, 1e-300, 5e-324, 123456789.123456789, 1.7976931348623157e308, -0.0,
                             static_cast<double>(0.1f), 3.0, 1e22}) {
    IterationRow row = row_of(0);
    row.box = value;
    const double back = nlohmann::json::parse(metrics_line(row))["loss"]["box"].get<double>();
    EXPECT_EQ(std::memcmp(&back, &value, sizeof value), 0) << value;
  }
}

TEST(MetricsLine, WritesNullForWhatIsNotFinite) {
  IterationRow row = row_of(0);
  row.box = std::nan("");
  row.obj = std::numeric_limits<double>::infinity();
  const auto document = nlohmann::json::parse(metrics_line(row));
  EXPECT_TRUE(document["loss"]["box"].is_null());
  EXPECT_TRUE(document["loss"]["obj"].is_null());
}

TEST(MetricsLog, WritesOnlyWhenFlushed) {
  const Folder folder;
  const auto file = folder.path / "metrics.jsonl";
  {
    MetricsLog log(file);
    log.add(row_of(0));
    log.add(EventRow{0, 1, "checkpoint", ""});
    EXPECT_FALSE(std::filesystem::exists(file));
    log.flush();
    EXPECT_EQ(read_file(file),
              metrics_line(row_of(0)) + "\n" + metrics_line(EventRow{0, 1, "checkpoint", ""}) + "\n");
    log.add(row_of(1));
  }
  // The end of the log flushes, too; nothing comes twice.
  EXPECT_EQ(read_file(file), metrics_line(row_of(0)) + "\n" + metrics_line(EventRow{0, 1, "checkpoint", ""}) +
                                 "\n" + metrics_line(row_of(1)) + "\n");
}

TEST(MetricsLog, KeepsRowsThatCouldNotBeWritten) {
  const Folder folder;
  const auto file = folder.path / "later" / "metrics.jsonl";
  MetricsLog log(file);
  log.add(row_of(0));
  EXPECT_THROW(log.flush(), StorageError);
  std::filesystem::create_directory(folder.path / "later");
  log.flush();
  EXPECT_EQ(read_file(file), metrics_line(row_of(0)) + "\n");
}

TEST(MetricsLog, PublishesForThoseWhoLookOn) {
  const Folder folder;
  const auto file = folder.path / "metrics.jsonl";
  MetricsLog log(file);
  log.publish();
  EXPECT_FALSE(std::filesystem::exists(file)) << "nothing to say";
  log.add(sample_of(0));
  log.publish();
  log.publish();
  EXPECT_EQ(read_file(file), metrics_line(sample_of(0)) + "\n");
  log.flush();
  EXPECT_EQ(read_file(file), metrics_line(sample_of(0)) + "\n");
}

TEST(MetricsLog, TakesRowsFromSeveralThreadsAndWritesEachOnce) {
  const Folder folder;
  const auto file = folder.path / "metrics.jsonl";
  constexpr int64_t rows_a_thread = 500;
  {
    MetricsLog log(file);
    std::vector<std::thread> threads;
    for (int rank = 0; rank < 3; ++rank) {
      threads.emplace_back([&log, rank] {
        for (int64_t i = 0; i < rows_a_thread; ++i) {
          SampleRow row = sample_of(i);
          row.rank = rank;
          log.add(row);
          if (i % 50 == 0) {
            i % 100 == 0 ? log.publish() : log.flush();
          }
        }
      });
    }
    for (std::thread& thread : threads) {
      thread.join();
    }
  }
  std::array<int64_t, 3> next{};
  std::istringstream lines(read_file(file));
  for (std::string line; std::getline(lines, line);) {
    const auto row = nlohmann::json::parse(line);
    EXPECT_EQ(row["iteration"], next.at(row["rank"])++) << "rows of a thread keep their order";
  }
  EXPECT_EQ(next, (std::array<int64_t, 3>{rows_a_thread, rows_a_thread, rows_a_thread}));
}

TEST(Append, TakesBackWhatItCouldNotFinish) {
  const Folder folder;
  const auto file = folder.path / "metrics.jsonl";
  append(file, "first\n");
  struct rlimit before = {};
  getrlimit(RLIMIT_FSIZE, &before);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{10, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  EXPECT_THROW(append(file, "second line\n"), StorageError);
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(read_file(file), "first\n");
  append_durably(file, "second line\n");
  EXPECT_EQ(read_file(file), "first\nsecond line\n");
}

TEST(CutMetrics, DropsSamplesWithTheIterationThatRan) {
  const Folder folder;
  const auto file = folder.path / "metrics.jsonl";
  {
    MetricsLog log(file);
    for (int64_t i = 0; i < 4; ++i) {
      log.add(sample_of(i));
    }
  }
  cut_metrics(file, 2);
  EXPECT_EQ(read_file(file), metrics_line(sample_of(0)) + "\n" + metrics_line(sample_of(1)) + "\n");
}

TEST(CutMetrics, DropsIterationsFromTheCheckpointOnAndHalfALine) {
  const Folder folder;
  const auto file = folder.path / "metrics.jsonl";
  const EventRow event{0, 3, "failure", "rank 1 died"};
  {
    MetricsLog log(file);
    for (int64_t i = 0; i < 4; ++i) {
      log.add(row_of(i));
    }
    log.add(event);
  }
  std::ofstream(file, std::ios::app) << "{\"type\":\"iteration\",\"iteration\":0";
  cut_metrics(file, 2);
  EXPECT_EQ(read_file(file),
            metrics_line(row_of(0)) + "\n" + metrics_line(row_of(1)) + "\n" + metrics_line(event) + "\n");
  cut_metrics(folder.path / "absent.jsonl", 2);
  EXPECT_FALSE(std::filesystem::exists(folder.path / "absent.jsonl"));
}

}  // namespace
}  // namespace yolodist::telemetry
