// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/train/sampling.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "common/base/atomic_file.h"
#include "tests/support/temporary_folder.h"
#include "worker/memory/budget.h"

namespace yolodist::train {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;

std::vector<json> rows_of(const std::filesystem::path& file) {
  std::vector<json> rows;
  std::istringstream lines(read_file(file));
  for (std::string line; std::getline(lines, line);) {
    rows.push_back(json::parse(line));
  }
  return rows;
}

TEST(Sampling, RankZeroWritesItsOwnAndTheOthersMemory) {
  memory::install_counting_allocator();
  const test::TemporaryFolder folder;
  const auto file = folder.path() / "metrics.jsonl";
  const memory::PhaseScope phase(memory::Phase::validation);
  const at::Tensor held = at::empty({1 << 20}, at::TensorOptions().dtype(at::kByte));
  Training training;
  training.attempt = 3;
  std::function<void(const protocol::PeerSample&)> receiver;
  std::atomic<int> told{0};
  const LaunchLink link{.stop_reason = {},
                        .send_progress = {},
                        .send_sample = [&told](const protocol::Sample&) { ++told; },
                        .on_peer_sample = [&receiver](auto to) { receiver = std::move(to); }};
  telemetry::MetricsLog metrics(file);
  {
    Sampling sampling(training, link, &metrics);
    ASSERT_TRUE(receiver);
    sampling.running(41);
    receiver({2, {40, 5, 6, 7, 8, "loss"}});
    const auto patience = std::chrono::steady_clock::now() + 10s;
    while (!std::filesystem::exists(file) && std::chrono::steady_clock::now() < patience) {
      std::this_thread::sleep_for(10ms);
    }
    ASSERT_TRUE(std::filesystem::exists(file)) << "written while the training goes on, without a flush";
  }
  EXPECT_GT(told, 0) << "its launcher waits for a sign of life, too";
  EXPECT_FALSE(receiver) << "nobody takes samples any more";
  metrics.flush();
  json last_own, of_peer;
  for (const json& row : rows_of(file)) {
    EXPECT_EQ(row.at("type"), "sample");
    EXPECT_EQ(row.at("attempt"), 3);
    EXPECT_NEAR(row.at("time_s").get<double>(), static_cast<double>(std::time(nullptr)), 60);
    (row.at("rank") == 0 ? last_own : of_peer) = row;
  }
  EXPECT_EQ(last_own.at("iteration"), 41);
  EXPECT_EQ(last_own.at("phase"), "validation");
  EXPECT_GE(last_own.at("allocated_bytes"), 1 << 20);
  EXPECT_GE(last_own.at("peak_bytes"), last_own.at("allocated_bytes"));
  EXPECT_EQ(of_peer.at("rank"), 2);
  EXPECT_EQ(of_peer.at("iteration"), 40);
  EXPECT_EQ(of_peer.at("allocated_bytes"), 5);
  EXPECT_EQ(of_peer.at("peak_bytes"), 6);
  EXPECT_EQ(of_peer.at("reserved_bytes"), 7);
  EXPECT_EQ(of_peer.at("host_bytes"), 8);
  EXPECT_EQ(of_peer.at("phase"), "loss");
}

TEST(Sampling, OtherRanksTellTheirLauncher) {
  Training training;
  training.rank = 1;
  std::promise<protocol::Sample> heard;
  std::atomic<bool> has_heard{false};
  const LaunchLink link{.stop_reason = {},
                        .send_progress = {},
                        .send_sample =
                            [&](const protocol::Sample& sample) {
                              if (!has_heard.exchange(true)) {
                                heard.set_value(sample);
                              }
                            },
                        .on_peer_sample = [](auto) { FAIL() << "only rank 0 takes samples"; }};
  std::future<protocol::Sample> sample = heard.get_future();
  const Sampling sampling(training, link, nullptr);
  ASSERT_EQ(sample.wait_for(10s), std::future_status::ready);
  EXPECT_EQ(sample.get().iteration, 0);
}

}  // namespace
}  // namespace yolodist::train
