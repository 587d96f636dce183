// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/train/network_check.h"

#include <gmock/gmock.h>

#include <functional>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

#include "common/base/host_name.h"
#include "tests/support/thrown.h"
#include "worker/comm/collective_trace.h"
#include "worker/comm/local_communicator.h"

namespace yolodist::train {
namespace {

using namespace std::chrono_literals;
using test::thrown;
using testing::AllOf;
using testing::HasSubstr;

// Runs body(rank, host communicator, gradient communicator) on a thread a rank.
using Body = std::function<void(size_t, comm::Communicator&, comm::Communicator&)>;
void on_ranks(size_t count, const Body& body) {
  const auto host = comm::make_local_communicators(static_cast<int>(count));
  const auto gradients = comm::make_local_communicators(static_cast<int>(count));
  std::vector<std::thread> threads;
  for (size_t rank = 0; rank < count; ++rank) {
    threads.emplace_back([&, rank] { body(rank, *host[rank], *gradients[rank]); });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
}

// Hands everything on, but for what `after` does to the result of an all-reduce.
class Tampered : public comm::Communicator {
 public:
  Tampered(comm::Communicator& inner, std::function<void(float*)> after)
      : inner_(inner), after_(std::move(after)) {}
  int rank() const override { return inner_.rank(); }
  int world_size() const override { return inner_.world_size(); }
  std::span<std::byte> allocate_shared(size_t bytes) override { return inner_.allocate_shared(bytes); }
  std::unique_ptr<comm::Work> all_reduce(void* data, size_t count, comm::Dtype dtype,
                                         comm::Reduction reduction) override {
    return std::make_unique<TamperedWork>(inner_.all_reduce(data, count, dtype, reduction),
                                          static_cast<float*>(data), after_);
  }
  std::unique_ptr<comm::Work> all_gather(const void* mine, size_t bytes, void* gathered) override {
    return inner_.all_gather(mine, bytes, gathered);
  }
  std::unique_ptr<comm::Work> broadcast(void* data, size_t bytes, int root) override {
    return inner_.broadcast(data, bytes, root);
  }
  std::unique_ptr<comm::Work> reduce_scatter(const void* data, void* mine, size_t count, comm::Dtype dtype,
                                             comm::Reduction reduction) override {
    return inner_.reduce_scatter(data, mine, count, dtype, reduction);
  }
  int64_t all_reduce_count() const override { return inner_.all_reduce_count(); }

 private:
  class TamperedWork : public comm::Work {
   public:
    TamperedWork(std::unique_ptr<comm::Work> inner, float* data, const std::function<void(float*)>& after)
        : inner_(std::move(inner)), data_(data), after_(after) {}
    bool is_done() override { return inner_->is_done(); }
    void wait(Deadline deadline) override {
      inner_->wait(deadline);
      after_(data_);
    }

   private:
    std::unique_ptr<comm::Work> inner_;
    float* data_;
    const std::function<void(float*)>& after_;
  };

  comm::Communicator& inner_;
  const std::function<void(float*)> after_;
};

TEST(NetworkCheck, MeasuresTheBusBandwidthOfAllRanks) {
  std::vector<NetworkSpeed> speeds(3);
  on_ranks(3, [&](size_t rank, comm::Communicator& host, comm::Communicator& gradients) {
    speeds[rank] = measure_network(host, gradients, at::kCPU);
    EXPECT_EQ(gradients.all_reduce_count(), 1 + NetworkCheck::rounds);
    EXPECT_EQ(host.all_reduce_count(), 0);
  });
  for (const NetworkSpeed& speed : speeds) {
    EXPECT_EQ(speed.ranks, 3);
    EXPECT_EQ(speed.hosts, 1);
    EXPECT_GT(speed.seconds, 0);
    EXPECT_NEAR(speed.bytes_per_second * speed.seconds, 4.0 / 3 * (1 << 20), 1);
  }
}

TEST(NetworkCheck, TheLineNamesRanksHostsTimeAndSpeed) {
  NetworkSpeed speed{.ranks = 4, .hosts = 2, .seconds = 0.0031, .bytes_per_second = 507.4e6};
  EXPECT_EQ(to_string(speed), "network: 1 MiB all-reduce over 4 ranks on 2 hosts in 3.1 ms, 0.507 GB/s");
  speed = {.ranks = 2, .hosts = 1, .seconds = 1.25e-4, .bytes_per_second = 8.39e9};
  EXPECT_EQ(to_string(speed), "network: 1 MiB all-reduce over 2 ranks on 1 host in 0.125 ms, 8.39 GB/s");
}

TEST(NetworkCheck, ARankThatDoesNotReduceIsLostAfterTheLimitAndTheOptionIsNamed) {
  std::string said;
  on_ranks(2, [&](size_t rank, comm::Communicator& host, comm::Communicator& gradients) {
    if (rank == 1) {
      comm::all_gather_strings(host, host_name(), Deadline::after(60s));  // it is there, but no more
      return;
    }
    NetworkCheck check;
    check.limit = 200ms;
    said = thrown<PeerLost>([&] { measure_network(host, gradients, at::kCPU, check); });
  });
  EXPECT_THAT(said, AllOf(HasSubstr("1.00 MiB were not reduced within 0.2 s"), HasSubstr("only 1 of 2 ranks"),
                          HasSubstr("--net-if"), HasSubstr("NCCL_DEBUG=WARN"), HasSubstr("yolodist doctor")));
}

TEST(NetworkCheck, ItsLimitDoesNotCountUntilAllRanksHaveCome) {
  on_ranks(2, [&](size_t rank, comm::Communicator& host, comm::Communicator& gradients) {
    if (rank == 1) {
      std::this_thread::sleep_for(3s);
    }
    NetworkCheck check;
    check.limit = 2s;
    EXPECT_EQ(thrown<PeerLost>([&] { measure_network(host, gradients, at::kCPU, check); }), "");
  });
}

TEST(NetworkCheck, AWrongSumIsNamed) {
  std::vector<std::string> said(2);
  on_ranks(2, [&](size_t rank, comm::Communicator& host, comm::Communicator& gradients) {
    Tampered tampered(gradients, [&](float* sums) { sums[33] += rank == 1 ? 1.0f : 0.0f; });
    // Rank 0 waits in vain for the next round.
    NetworkCheck check;
    check.limit = 500ms;
    try {
      measure_network(host, tampered, at::kCPU, check);
    } catch (const Error& error) {
      said[rank] = error.what();
      EXPECT_EQ(error.exit_code(), rank == 1 ? ExitCode::internal : ExitCode::peer_lost);
    }
  });
  // 1 and 2 times (33 modulo 31) + 1.
  EXPECT_THAT(said[1], HasSubstr("wrong on rank 1: 10 instead of 9 at element 33 of 262144"));
}

TEST(NetworkCheck, WhatNcclTracedStaysInTheFailure) {
  on_ranks(1, [&](size_t, comm::Communicator& host, comm::Communicator& gradients) {
    Tampered tampered(gradients, [](float*) {
      throw comm::CollectiveFailure("rank 0: remote process exited", "", {{"rank", 0}});
    });
    try {
      measure_network(host, tampered, at::kCPU);
      ADD_FAILURE();
    } catch (const comm::CollectiveFailure& failure) {
      EXPECT_EQ(failure.collectives().at("rank"), 0);
      EXPECT_THAT(failure.one_line(), AllOf(HasSubstr("remote process exited"), HasSubstr("--net-if")));
    }
  });
}

}  // namespace
}  // namespace yolodist::train
