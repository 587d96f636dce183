// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
// Order on streams, and that the double is what is called.
#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nccl.h>

#include <atomic>

#include "common/base/error.h"
#include "tests/support/nccl_double.h"
#include "tests/support/nccl_ranks.h"

namespace yolodist::comm {
namespace {

using namespace std::chrono_literals;
namespace nccl_double = test::nccl_double;

// Something slow on a stream that writes when it is let go.
struct SlowKernel {
  std::atomic<bool> may_go{false};
  float* target = nullptr;
  float value = 0;
  static void run(void* data) {
    auto* kernel = static_cast<SlowKernel*>(data);
    while (!kernel->may_go) {
      std::this_thread::sleep_for(200us);
    }
    *kernel->target = kernel->value;
  }
};

TEST(NcclStreams, ACollectiveBeginsAfterWhatTheComputeStreamHolds) {
  const std::string id = NcclCommunicator::make_unique_id();
  test::on_threads(2, [&](int rank) {
    NcclSetup setup = test::nccl_setup(rank, 2, id);
    const test::ComputeStream stream;
    const cudaStream_t compute = stream.get();
    setup.compute_stream = compute;
    NcclCommunicator communicator(setup, Deadline::after(20s));
    float gradient = -1;
    SlowKernel backward;
    backward.target = &gradient;
    backward.value = static_cast<float>(rank + 1);
    cudaLaunchHostFunc(compute, SlowKernel::run, &backward);
    const auto work = communicator.all_reduce(&gradient, 1, Dtype::f32, Reduction::sum);
    EXPECT_FALSE(work->is_done());
    EXPECT_EQ(gradient, -1) << "nothing has moved";
    backward.may_go = true;
    work->wait(Deadline::after(20s));
    EXPECT_EQ(gradient, 3);
    // What is launched after wait() comes after the result.
    SlowKernel update;
    float seen = 0;
    update.target = &seen;
    update.may_go = true;
    update.value = 5;
    cudaLaunchHostFunc(compute, SlowKernel::run, &update);
    EXPECT_EQ(cudaStreamSynchronize(compute), cudaSuccess);
    EXPECT_EQ(seen, 5);
  });
  EXPECT_EQ(nccl_double::misuse(), std::vector<std::string>{});
}

// The compute stream itself waits, not only the host.
TEST(NcclStreams, TheComputeStreamWaitsForTheCollective) {
  nccl_double::reset();
  const std::string id = NcclCommunicator::make_unique_id();
  std::atomic<bool> rank_1_may_come{false};
  test::on_threads(2, [&](int rank) {
    NcclSetup setup = test::nccl_setup(rank, 2, id);
    const test::ComputeStream stream;
    const cudaStream_t compute = stream.get();
    setup.compute_stream = compute;
    NcclCommunicator communicator(setup, Deadline::after(20s));
    float gradient = 1;
    while (rank == 1 && !rank_1_may_come) {
      std::this_thread::sleep_for(1ms);
    }
    const auto work = communicator.all_reduce(&gradient, 1, Dtype::f32, Reduction::sum);
    if (rank == 0) {
      std::thread waiting([&] { work->wait(Deadline::after(20s)); });
      // One before the collective, one behind it.
      const Deadline deadline = Deadline::after(10s);
      while (nccl_double::calls("cudaStreamWaitEvent") < 2 && !deadline.has_passed()) {
        std::this_thread::sleep_for(1ms);
      }
      EXPECT_EQ(cudaStreamQuery(compute), cudaErrorNotReady);
      rank_1_may_come = true;
      waiting.join();
    }
    work->wait(Deadline::after(20s));
    EXPECT_EQ(gradient, 2);
    EXPECT_EQ(cudaStreamSynchronize(compute), cudaSuccess);
  });
}

TEST(NcclDouble, IsWhatThisProgramCalls) {
  const auto file_of = [](void* function) {
    Dl_info info{};
    return ::dladdr(function, &info) != 0 ? std::string(info.dli_fname) : std::string("nowhere");
  };
  EXPECT_THAT(file_of(reinterpret_cast<void*>(&ncclAllReduce)),
              testing::HasSubstr("worker_comm_nccl_double_test"));
  EXPECT_THAT(file_of(reinterpret_cast<void*>(&cudaEventRecord)),
              testing::HasSubstr("worker_comm_nccl_double_test"));
  nccl_double::reset();
  test::on_nccl_threads(1, [](NcclCommunicator& c) {
    float value = 1;
    c.all_reduce(&value, 1, Dtype::f32, Reduction::sum)->wait(Deadline::after(20s));
  });
  for (const char* function :
       {"ncclGetUniqueId", "ncclCommInitRankConfig", "ncclAllReduce", "ncclCommFinalize", "ncclCommDestroy",
        "cudaSetDevice", "cudaStreamCreateWithFlags", "cudaEventCreateWithFlags", "cudaStreamDestroy"}) {
    EXPECT_GE(nccl_double::calls(function), 1) << function;
  }
  EXPECT_EQ(nccl_double::calls("cudaEventCreateWithFlags"), nccl_double::calls("cudaEventDestroy"));
  EXPECT_EQ(nccl_double::calls("cudaStreamCreateWithFlags"), nccl_double::calls("cudaStreamDestroy"));
}

// A call that is not waited for until NCCL has started it is refused, as NCCL does; so the tests would see
// it.
TEST(NcclDouble, SeesACallWhileAnotherIsInProgress) {
  nccl_double::reset();
  ncclUniqueId id;
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  ncclComm_t comm = nullptr;
  ASSERT_EQ(ncclGetUniqueId(&id), ncclSuccess);
  ASSERT_EQ(ncclCommInitRankConfig(&comm, 1, id, 0, &config), ncclInProgress);
  ncclResult_t state = ncclInProgress;
  while (state == ncclInProgress) {
    ASSERT_EQ(ncclCommGetAsyncError(comm, &state), ncclSuccess);
  }
  float value = 1;
  EXPECT_EQ(ncclAllReduce(&value, &value, 1, ncclFloat32, ncclSum, comm, nullptr), ncclInProgress);
  EXPECT_EQ(ncclAllReduce(&value, &value, 1, ncclFloat32, ncclSum, comm, nullptr), ncclInvalidArgument);
  EXPECT_THAT(nccl_double::misuse(), testing::Contains("a call while another is in progress"));
  EXPECT_EQ(ncclCommAbort(comm), ncclSuccess);
  EXPECT_EQ(ncclCommAbort(comm), ncclInvalidArgument);
  nccl_double::reset();
}

}  // namespace
}  // namespace yolodist::comm
