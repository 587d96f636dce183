// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "common/base/deadline.h"
#include "worker/comm/local_communicator.h"
#include "worker/comm/nccl_communicator.h"
#include "worker/comm/post_mortem.h"

// Ranks of NcclCommunicator over the double, on threads or as processes.
namespace yolodist::test {

// A compute stream for each rank that is a thread: the default stream would be one for all.
class ComputeStream {
 public:
  ComputeStream() { cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking); }
  ~ComputeStream() { cudaStreamDestroy(stream_); }
  ComputeStream(const ComputeStream&) = delete;
  ComputeStream& operator=(const ComputeStream&) = delete;
  cudaStream_t get() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

inline comm::NcclSetup nccl_setup(int rank, int world_size, const std::string& unique_id) {
  comm::NcclSetup setup;
  setup.rank = rank;
  setup.world_size = world_size;
  setup.unique_id = unique_id;
  return setup;
}

// Runs body(rank) on so many threads and rethrows the first failure.
inline void on_threads(int world_size, const std::function<void(int rank)>& body) {
  std::vector<std::exception_ptr> failures(static_cast<size_t>(world_size));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < world_size; ++rank) {
    threads.emplace_back([&, rank] {
      try {
        body(rank);
      } catch (...) {
        failures[static_cast<size_t>(rank)] = std::current_exception();
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  for (const std::exception_ptr& failure : failures) {
    if (failure) {
      std::rethrow_exception(failure);
    }
  }
}

// Runs body(communicator) on so many threads, each with a communicator of the double.
inline void on_nccl_threads(int world_size, const std::function<void(comm::NcclCommunicator&)>& body) {
  const std::string id = comm::NcclCommunicator::make_unique_id();
  on_threads(world_size, [&](int rank) {
    const ComputeStream compute;
    comm::NcclSetup setup = nccl_setup(rank, world_size, id);
    setup.compute_stream = compute.get();
    comm::NcclCommunicator communicator(setup, Deadline::after(std::chrono::seconds(20)));
    body(communicator);
  });
}

// Runs body(rank, unique id) in so many processes: this program starts itself again for the test that is
// running, once a rank. `codes`: how they should end, by default with 0 (a failed expectation is 1); -n is
// signal n. Call it as the only thing in a test.
inline void in_processes(int world_size, const std::function<void(int rank, const std::string& id)>& body,
                         std::vector<int> codes = {}) {
  if (const char* rank = std::getenv("YOLODIST_TEST_RANK")) {
    const std::string hex = std::getenv("YOLODIST_TEST_ID");
    std::string id;
    for (size_t i = 0; i < hex.size(); i += 2) {
      id += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
    }
    body(std::stoi(rank), id);
    return;
  }
  const testing::TestInfo& test = *testing::UnitTest::GetInstance()->current_test_info();
  const std::string filter = std::string("--gtest_filter=") + test.test_suite_name() + "." + test.name();
  std::string hex = "YOLODIST_TEST_ID=";
  for (const char byte : comm::NcclCommunicator::make_unique_id()) {
    constexpr const char* digits = "0123456789abcdef";
    hex += {digits[static_cast<unsigned char>(byte) >> 4], digits[byte & 15]};
  }
  std::vector<pid_t> pids;
  for (int r = 0; r < world_size; ++r) {
    std::string program = "/proc/self/exe", flag = filter, brief = "--gtest_brief=1";
    std::string rank = "YOLODIST_TEST_RANK=" + std::to_string(r);
    char* const arguments[] = {program.data(), flag.data(), brief.data(), nullptr};
    std::vector<char*> environment = {rank.data(), hex.data()};
    for (char** entry = environ; *entry != nullptr; ++entry) {
      environment.push_back(*entry);
    }
    environment.push_back(nullptr);
    pid_t pid = -1;
    ASSERT_EQ(::posix_spawn(&pid, program.c_str(), nullptr, nullptr, arguments, environment.data()), 0);
    pids.push_back(pid);
  }
  codes.resize(static_cast<size_t>(world_size), 0);
  const Deadline deadline = Deadline::after(std::chrono::seconds(50));
  // Whoever ends is seen at once: a process that nobody has waited for still counts as there.
  size_t ended = 0;
  while (ended < pids.size()) {
    for (size_t r = 0; r < pids.size(); ++r) {
      if (pids[r] > 0 && deadline.has_passed()) {
        ADD_FAILURE() << "rank " << r << " did not end";
        ::kill(pids[r], SIGKILL);
      }
      int status = 0;
      if (pids[r] > 0 && ::waitpid(pids[r], &status, deadline.has_passed() ? 0 : WNOHANG) == pids[r]) {
        EXPECT_EQ(WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status), codes[r]) << "rank " << r;
        pids[r] = 0;
        ++ended;
      }
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

}  // namespace yolodist::test
