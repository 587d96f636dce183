// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
// A worker's whole reduction by NcclCommunicator, over a stand-in for NCCL that takes host memory.
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "common/base/error.h"
#include "tests/support/nccl_double.h"
#include "tests/support/nccl_ranks.h"
#include "tests/support/tensors.h"
#include "tests/support/thrown.h"
#include "worker/parallel/bucketed_reducer.h"

namespace yolodist::parallel {
namespace {

using namespace std::chrono_literals;
namespace nccl_double = test::nccl_double;
using comm::NcclCommunicator;
using nccl_double::Action;
using testing::AllOf;
using testing::HasSubstr;

constexpr size_t bucket_bytes = 1024;  // of about 9 KiB

std::vector<at::Tensor> leaves() {
  std::vector<at::Tensor> parameters;
  for (const int64_t count : {300, 5, 120, 7, 400, 90, 33, 200}) {
    parameters.push_back(
        test::random_tensor(static_cast<uint32_t>(parameters.size()), {count}, at::kDouble).requires_grad_());
  }
  return parameters;
}

// A chain in which parameter 0 stands deepest, so that its gradient comes last.
at::Tensor loss_of(const std::vector<at::Tensor>& parameters, double factor) {
  at::Tensor loss = parameters[0].square().sum() * factor;
  for (size_t i = 1; i < parameters.size(); ++i) {
    loss = (loss + 1) * parameters[i].square().mean();
  }
  return loss;
}

void backward(BucketedReducer& reducer, const std::vector<at::Tensor>& parameters, int rank) {
  reducer.zero();
  reducer.arm();
  loss_of(parameters, 1.0 + rank).backward();
}

std::vector<double> values_of_all(const BucketedReducer& reducer) {
  std::vector<double> all;
  for (const at::Tensor& bucket : reducer.buckets()) {
    const std::vector<double> values = test::values_of(bucket);
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

// What a step gives by ranks without NCCL.
std::vector<double> by_local_ranks(int world_size) {
  std::vector<double> gradients;
  comm::run_local_ranks(world_size, [&](comm::Communicator& communicator) {
    at::set_num_threads(1);
    const std::vector<at::Tensor> parameters = leaves();
    BucketedReducer reducer(communicator, parameters, bucket_bytes);
    backward(reducer, parameters, communicator.rank());
    reducer.finish(Deadline::after(20s));
    if (communicator.rank() == 0) {
      gradients = values_of_all(reducer);
    }
  });
  return gradients;
}

class NcclReduction : public testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    at::set_num_threads(1);
    nccl_double::reset();
  }
  void TearDown() override { EXPECT_EQ(nccl_double::misuse(), std::vector<std::string>{}); }
};
INSTANTIATE_TEST_SUITE_P(Ranks, NcclReduction, testing::Values(1, 2, 3, 4));

TEST_P(NcclReduction, GivesTheBitsOfTheOtherCommunicators) {
  const std::vector<double> expected = by_local_ranks(GetParam());
  test::on_nccl_threads(GetParam(), [&](NcclCommunicator& communicator) {
    const std::vector<at::Tensor> parameters = leaves();
    BucketedReducer reducer(communicator, parameters, bucket_bytes);
    ASSERT_GE(reducer.buckets().size(), 4U);
    for (int step = 0; step < 3; ++step) {
      backward(reducer, parameters, communicator.rank());
      reducer.finish(Deadline::after(20s));
      EXPECT_EQ(values_of_all(reducer), expected);
    }
  });
}

class NcclReductionOfTwo : public NcclReduction {};
INSTANTIATE_TEST_SUITE_P(Ranks, NcclReductionOfTwo, testing::Values(2));

// Of real processes: each counts its own calls.
TEST_P(NcclReductionOfTwo, StartsBucketsInOrderWhileBackwardGoesOn) {
  test::in_processes(2, [](int rank, const std::string& id) {
    NcclCommunicator communicator(test::nccl_setup(rank, 2, id), Deadline::after(20s));
    const std::vector<at::Tensor> parameters = leaves();
    BucketedReducer reducer(communicator, parameters, bucket_bytes);
    const auto started = [] { return nccl_double::calls("ncclAllReduce"); };
    const auto buckets = static_cast<int64_t>(reducer.buckets().size());
    int64_t before_the_last_gradient = -1;
    parameters[0].register_hook([&](const at::Tensor&) { before_the_last_gradient = started(); });
    backward(reducer, parameters, rank);
    EXPECT_EQ(before_the_last_gradient, buckets - 1);
    EXPECT_EQ(started(), buckets);
    reducer.finish(Deadline::after(20s));
    EXPECT_EQ(started(), buckets);
    EXPECT_EQ(values_of_all(reducer), by_local_ranks(2));
  });
}

TEST_P(NcclReductionOfTwo, NamesTheBucketThatIsNotDoneInTime) {
  nccl_double::inject({.action = Action::stall, .rank = 1, .call = 2});
  const auto begin = Deadline::Clock::now();
  test::on_nccl_threads(2, [](NcclCommunicator& communicator) {
    const std::vector<at::Tensor> parameters = leaves();
    BucketedReducer reducer(communicator, parameters, bucket_bytes);
    backward(reducer, parameters, communicator.rank());
    EXPECT_THAT(test::thrown<PeerLost>([&] { reducer.finish(Deadline::after(2s)); }),
                AllOf(HasSubstr("(f64 sum, bucket 2): not done before the deadline")));
    EXPECT_EQ(reducer.reduced_steps(), 0);
  });
  EXPECT_LT(Deadline::Clock::now() - begin, 10s);
}

TEST_P(NcclReductionOfTwo, NamesRanksThatCutTheirBucketsDifferently) {
  const std::string id = NcclCommunicator::make_unique_id();
  const auto hosts = comm::make_local_communicators(2);
  test::on_threads(2, [&](int rank) {
    const test::ComputeStream compute;
    comm::NcclSetup setup = test::nccl_setup(rank, 2, id);
    setup.compute_stream = compute.get();
    setup.post_mortem = std::make_shared<comm::PostMortem>(*hosts[static_cast<size_t>(rank)]);
    NcclCommunicator communicator(setup, Deadline::after(20s));
    const std::vector<at::Tensor> parameters = leaves();
    BucketedReducer reducer(communicator, parameters, rank == 0 ? bucket_bytes : 4 * bucket_bytes);
    backward(reducer, parameters, rank);
    EXPECT_THAT(test::thrown<PeerLost>([&] { reducer.finish(Deadline::after(300ms)); }),
                AllOf(HasSubstr("the ranks are out of step"), HasSubstr("rank 0"), HasSubstr("rank 1"),
                      HasSubstr("#0 all_reduce"), HasSubstr("bucket 0")));
  });
}

// As after an out-of-memory on one rank, or where the launchers have agreed on a lost collective: all abort,
// all connect anew, and the step is done again.
TEST_P(NcclReductionOfTwo, IsReplayedAfterAnAbort) {
  nccl_double::inject({.action = Action::async_error, .rank = 0, .call = 3});
  const std::vector<double> expected = by_local_ranks(2);
  const std::string second_id = NcclCommunicator::make_unique_id();
  test::on_nccl_threads(2, [&](NcclCommunicator& communicator) {
    const std::vector<at::Tensor> parameters = leaves();
    BucketedReducer reducer(communicator, parameters, bucket_bytes);
    // Backward itself throws where the error is there before it has started the last bucket.
    const auto lost_step = [&] {
      backward(reducer, parameters, communicator.rank());
      reducer.finish(Deadline::after(300ms));
    };
    EXPECT_THROW(lost_step(), PeerLost);
    reducer.abandon();
    communicator.reconnect(second_id, Deadline::after(20s));
    for (int step = 0; step < 2; ++step) {
      backward(reducer, parameters, communicator.rank());
      reducer.finish(Deadline::after(20s));
      EXPECT_EQ(values_of_all(reducer), expected);
    }
    EXPECT_EQ(reducer.reduced_steps(), 2);
  });
}

// A rank that runs out of memory in backward has started some buckets; it goes on with what it has, as the
// train step does, and nobody is left waiting.
TEST_P(NcclReductionOfTwo, ARankWithoutAFinishedBackwardHoldsNobodyUp) {
  test::on_nccl_threads(2, [](NcclCommunicator& communicator) {
    const std::vector<at::Tensor> parameters = leaves();
    BucketedReducer reducer(communicator, parameters, bucket_bytes);
    if (communicator.rank() == 0) {
      backward(reducer, parameters, 0);
    } else {
      reducer.zero();
      reducer.arm();
      parameters.back().square().sum().backward();  // the last parameter's gradient, and no more
    }
    reducer.start_remaining();
    reducer.finish(Deadline::after(20s));
    EXPECT_EQ(reducer.reduced_steps(), 1);
  });
}

}  // namespace
}  // namespace yolodist::parallel
