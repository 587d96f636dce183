// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/parallel/bucketed_reducer.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <functional>

#include "common/base/error.h"
#include "tests/support/tensors.h"
#include "worker/comm/local_communicator.h"

namespace yolodist::parallel {
namespace {

using test::random_tensor;
using test::values_of;

const std::vector<std::vector<int64_t>> sizes = {{4, 3, 3, 3}, {5}, {2, 7}, {33}, {8, 4, 1, 1}, {3}};

std::vector<at::Tensor> leaves(at::ScalarType dtype) {
  std::vector<at::Tensor> parameters;
  for (const auto& size : sizes) {
    parameters.push_back(
        random_tensor(static_cast<uint32_t>(parameters.size()), size, dtype).requires_grad_());
  }
  return parameters;
}

// Buckets of at most 40 fp64 or 80 fp32 elements: {3, 8x4}, {33}, {2x7, 5}, {4x3x3x3}, or fewer.
constexpr size_t bucket_bytes = 320;

// d loss / d parameter i is factor * (i + 1) * parameter i. Forward uses the parameters in their order, so
// backward comes to the last one first.
at::Tensor loss_of(const std::vector<at::Tensor>& parameters, double factor) {
  at::Tensor loss;
  for (size_t i = 0; i < parameters.size(); ++i) {
    const at::Tensor term = parameters[i].square().sum() * (factor / 2 * static_cast<double>(i + 1));
    loss = loss.defined() ? loss + term : term;
  }
  return loss;
}

void expect_gradients(const BucketedReducer& reducer, const std::vector<at::Tensor>& parameters,
                      double factor, double tolerance) {
  for (size_t i = 0; i < parameters.size(); ++i) {
    const std::vector<double> value = values_of(parameters[i]), gradient = values_of(reducer.gradient(i));
    for (size_t k = 0; k < value.size(); ++k) {
      EXPECT_NEAR(gradient[k], factor * static_cast<double>(i + 1) * value[k], tolerance)
          << "parameter " << i;
    }
  }
}

// A communicator of two ranks that answers at once, and tells of every all_reduce before it does.
class WatchedCommunicator : public comm::Communicator {
 public:
  std::function<void(void* data, size_t count)> on_all_reduce;

  int rank() const override { return 0; }
  int world_size() const override { return 2; }
  std::span<std::byte> allocate_shared(size_t bytes) override {
    memory_.resize(bytes / sizeof(Line) + 1);
    return {reinterpret_cast<std::byte*>(memory_.data()), bytes};
  }
  std::unique_ptr<comm::Work> all_reduce(void* data, size_t count, comm::Dtype, comm::Reduction) override {
    ++count_;
    if (on_all_reduce) {
      on_all_reduce(data, count);
    }
    return std::make_unique<Done>();
  }
  std::unique_ptr<comm::Work> all_gather(const void*, size_t, void*) override {
    return std::make_unique<Done>();
  }
  std::unique_ptr<comm::Work> broadcast(void*, size_t, int) override { return std::make_unique<Done>(); }
  std::unique_ptr<comm::Work> reduce_scatter(const void*, void*, size_t, comm::Dtype,
                                             comm::Reduction) override {
    return std::make_unique<Done>();
  }
  int64_t all_reduce_count() const override { return count_; }

 private:
  struct alignas(64) Line {
    std::byte bytes[64];
  };
  struct Done : comm::Work {
    bool is_done() override { return true; }
    void wait(Deadline) override {}
  };
  std::vector<Line> memory_;
  int64_t count_ = 0;
};

class BucketedReducerTest : public ::testing::Test {
 protected:
  void SetUp() override { at::set_num_threads(1); }
};

TEST_F(BucketedReducerTest, GradientsAreViewsThatFillTheBucketsInReverseOrder) {
  for (const at::ScalarType dtype : {at::kFloat, at::kDouble}) {
    const std::vector<at::Tensor> parameters = leaves(dtype);
    WatchedCommunicator communicator;
    const BucketedReducer reducer(communicator, parameters, bucket_bytes);
    EXPECT_GE(reducer.buckets().size(), 3U);
    size_t bucket = 0;
    int64_t offset = 0;
    for (size_t i = parameters.size(); i-- > 0;) {
      const at::Tensor& gradient = reducer.gradient(i);
      if (gradient.const_data_ptr() !=
          static_cast<const std::byte*>(reducer.buckets()[bucket].const_data_ptr()) +
              offset * gradient.itemsize()) {
        ++bucket;  // the first of the next bucket
        offset = 0;
        ASSERT_LT(bucket, reducer.buckets().size());
        ASSERT_EQ(gradient.const_data_ptr(), reducer.buckets()[bucket].const_data_ptr()) << "parameter " << i;
      }
      offset += gradient.numel();
      EXPECT_LE(offset, reducer.buckets()[bucket].numel());
      EXPECT_EQ(gradient.sizes(), parameters[i].sizes());
      EXPECT_EQ(gradient.strides(), parameters[i].strides());
      EXPECT_TRUE(parameters[i].grad().is_same(gradient));
      EXPECT_EQ(gradient.abs().sum().item<double>(), 0);
    }
    EXPECT_EQ(bucket + 1, reducer.buckets().size());
    loss_of(parameters, 1).backward();
    for (size_t i = 0; i < parameters.size(); ++i) {
      EXPECT_TRUE(parameters[i].grad().is_same(reducer.gradient(i))) << "backward adds in place";
    }
    expect_gradients(reducer, parameters, 1, dtype == at::kDouble ? 1e-14 : 1e-5);
  }
}

TEST_F(BucketedReducerTest, BucketsHoldUpToTheirBytesAndArePadded) {
  for (const int world_size : {1, 2, 3}) {
    for (const auto& communicator : comm::make_local_communicators(world_size)) {
      const std::vector<at::Tensor> parameters = leaves(at::kFloat);
      const BucketedReducer reducer(*communicator, parameters, bucket_bytes);
      int64_t elements = 0;
      for (const at::Tensor& bucket : reducer.buckets()) {
        EXPECT_EQ(bucket.nbytes() % static_cast<size_t>(64 * world_size), 0U);
        EXPECT_EQ(reinterpret_cast<uintptr_t>(bucket.const_data_ptr()) % 64, 0U);
        // A parameter that alone is larger (4x3x3x3) has a bucket of its own.
        EXPECT_LT(bucket.nbytes(),
                  std::max<size_t>(bucket_bytes, 4 * 27 * 4) + static_cast<size_t>(64 * world_size));
        elements += bucket.numel();
      }
      int64_t needed = 0;
      for (const at::Tensor& parameter : parameters) {
        needed += parameter.numel();
      }
      EXPECT_GE(elements, needed);
    }
  }
  EXPECT_EQ(plan::default_bucket_bytes(100), size_t{1} << 20);
  EXPECT_EQ(plan::default_bucket_bytes(size_t{80} << 20), size_t{10} << 20);
  EXPECT_EQ(plan::default_bucket_bytes(size_t{1} << 30), size_t{25} << 20);
}

// Two micro-batches a step on every rank but the last, whose shard is empty when there are several.
void expect_sums(int world_size, at::ScalarType dtype) {
  comm::run_local_ranks(world_size, [&](comm::Communicator& communicator) {
    const std::vector<at::Tensor> parameters = leaves(dtype);
    BucketedReducer reducer(communicator, parameters, bucket_bytes);
    const bool is_empty = world_size > 1 && communicator.rank() + 1 == world_size;
    const int64_t reductions_a_step = world_size > 1 ? static_cast<int64_t>(reducer.buckets().size()) : 0;
    for (int step = 0; step < 3; ++step) {
      reducer.zero();
      const int64_t before = communicator.all_reduce_count();
      if (!is_empty) {
        loss_of(parameters, 1.0 + communicator.rank()).backward();
        EXPECT_EQ(communicator.all_reduce_count(), before) << "not armed";
        reducer.arm();
        EXPECT_EQ(communicator.all_reduce_count(), before) << "backward has not begun";
        loss_of(parameters, 10).backward();
      }
      reducer.start_remaining();
      EXPECT_EQ(communicator.all_reduce_count() - before, reductions_a_step);
      // Another collective may stand between: the buckets are under way on all ranks.
      int64_t ranks = 1;
      comm::all_reduce_sum(communicator, {&ranks, 1}, Deadline::after(std::chrono::seconds(10)));
      EXPECT_EQ(ranks, world_size);
      reducer.finish(Deadline::after(std::chrono::seconds(10)));
      EXPECT_EQ(communicator.all_reduce_count() - before, reductions_a_step + 1);
      EXPECT_EQ(reducer.reduced_steps(), step + 1);

      double factor = 0;
      for (int rank = 0; rank < (world_size > 1 ? world_size - 1 : 1); ++rank) {
        factor += 1.0 + rank + 10;
      }
      expect_gradients(reducer, parameters, factor, dtype == at::kDouble ? 1e-12 : 1e-3);
      double padding = 0;
      for (const at::Tensor& bucket : reducer.buckets()) {
        padding += bucket.abs().sum().item<double>();
      }
      for (size_t i = 0; i < parameters.size(); ++i) {
        padding -= reducer.gradient(i).abs().sum().item<double>();
      }
      EXPECT_NEAR(padding, 0, dtype == at::kDouble ? 1e-10 : 1e-2) << "padding stays zero";
    }
  });
}

TEST_F(BucketedReducerTest, SumsOverRanksOnceAStepWithAnEmptyShard) {
  for (const int world_size : {1, 2, 3}) {
    SCOPED_TRACE(world_size);
    expect_sums(world_size, at::kDouble);
    expect_sums(world_size, at::kFloat);
  }
}

TEST_F(BucketedReducerTest, FinishAloneReducesEverything) {
  comm::run_local_ranks(2, [](comm::Communicator& communicator) {
    const std::vector<at::Tensor> parameters = leaves(at::kDouble);
    BucketedReducer reducer(communicator, parameters, bucket_bytes);
    if (communicator.rank() == 0) {
      loss_of(parameters, 3).backward();  // not armed: as before a checkpoint in the middle of a step
    }
    reducer.finish(Deadline::after(std::chrono::seconds(10)));
    expect_gradients(reducer, parameters, 3, 1e-13);
  });
}

// The graph comes to the first parameters first, against the buckets' order: bucket 0 waits for the last
// gradient, and then all start, in order of their index.
TEST_F(BucketedReducerTest, StartsBucketsInIndexOrderWhateverTheGraph) {
  const std::vector<at::Tensor> parameters = leaves(at::kDouble);
  WatchedCommunicator communicator;
  BucketedReducer reducer(communicator, parameters, bucket_bytes);
  std::vector<const void*> started;
  communicator.on_all_reduce = [&](void* data, size_t) { started.push_back(data); };
  at::Tensor loss;
  for (size_t i = parameters.size(); i-- > 0;) {
    loss = (loss.defined() ? loss : at::Tensor(parameters[i].detach().sum())) * parameters[i].sum();
  }
  reducer.arm();
  loss.backward();
  std::vector<const void*> expected;
  for (const at::Tensor& bucket : reducer.buckets()) {
    expected.push_back(bucket.const_data_ptr());
  }
  EXPECT_EQ(started, expected) << "all have started with the last gradient";
  reducer.finish(Deadline::after(std::chrono::seconds(1)));
  EXPECT_EQ(started, expected) << "and none twice";
}

TEST_F(BucketedReducerTest, StartsWhileBackwardGoesOn) {
  const std::vector<at::Tensor> parameters = leaves(at::kDouble);
  WatchedCommunicator communicator;
  BucketedReducer reducer(communicator, parameters, bucket_bytes);
  std::vector<bool> first_gradient_was_there;
  communicator.on_all_reduce = [&](void*, size_t) {
    first_gradient_was_there.push_back(reducer.gradient(0).abs().sum().item<double>() > 0);
  };
  // A chain: parameter 0 stands deepest, so its gradient is the last.
  at::Tensor loss = parameters[0].square().sum();
  for (size_t i = 1; i < parameters.size(); ++i) {
    loss = (loss + 1) * parameters[i].square().sum();
  }
  reducer.arm();
  loss.backward();
  std::vector<bool> expected(reducer.buckets().size(), false);
  expected.back() = true;
  EXPECT_EQ(first_gradient_was_there, expected);
}

TEST_F(BucketedReducerTest, LeavesTheParametersAloneWhenItGoes) {
  const std::vector<at::Tensor> parameters = leaves(at::kDouble);
  {
    WatchedCommunicator communicator;
    BucketedReducer reducer(communicator, parameters, bucket_bytes);
    reducer.arm();
  }
  for (const at::Tensor& parameter : parameters) {
    EXPECT_FALSE(parameter.grad().defined());
  }
  loss_of(parameters, 1).backward();  // no hook is left that would call into nothing
  EXPECT_TRUE(parameters[0].grad().defined());
}

TEST_F(BucketedReducerTest, SaysSoWhenAPeerDoesNotCome) {
  auto communicators = comm::make_local_communicators(2);
  BucketedReducer reducer(*communicators[0], leaves(at::kFloat), bucket_bytes);
  EXPECT_THROW(reducer.finish(Deadline::after(std::chrono::milliseconds(20))), PeerLost);
}

TEST_F(BucketedReducerTest, RefusesWhatItCannotLayOut) {
  WatchedCommunicator communicator;
  const auto build = [&](const std::vector<at::Tensor>& parameters) {
    BucketedReducer(communicator, parameters, bucket_bytes);
  };
  EXPECT_THROW(build({}), InternalError);
  EXPECT_THROW(build({random_tensor(1, {4, 5}).t()}), InternalError);
  EXPECT_THROW(build({random_tensor(1, {4}, at::kFloat), random_tensor(1, {4}, at::kDouble)}), InternalError);
}

}  // namespace
}  // namespace yolodist::parallel
