// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/memory/budget.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/add.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/GradMode.h>
#include <c10/util/Exception.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <thread>

namespace yolodist::memory {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// Bytes of `kind` and `layer` that are held now.
int64_t held(Kind kind, int layer = -1) {
  for (const Holder& holder : holders()) {
    if (holder.kind == kind && holder.layer == layer) {
      return holder.bytes;
    }
  }
  return 0;
}

class BudgetTest : public testing::Test {
 protected:
  BudgetTest() {
    install_counting_allocator();
    set_budget(0);
    take_shortage();
    reset_peak();
    before_ = counters();
  }
  ~BudgetTest() override {
    set_budget(0);
    set_observer(nullptr, nullptr);
  }
  int64_t current() const { return counters().current_bytes - before_.current_bytes; }
  int64_t peak() const { return counters().peak_bytes - before_.current_bytes; }
  int64_t host() const { return counters().host_bytes - before_.host_bytes; }

  Counters before_;
};

at::Tensor floats(int64_t count) {
  return at::empty({count}, at::TensorOptions().dtype(at::kFloat));
}

TEST_F(BudgetTest, SizesAreRoundedAsCudasAllocatorRoundsThem) {
  EXPECT_EQ(rounded(0), 0);
  EXPECT_EQ(rounded(1), 512);
  EXPECT_EQ(rounded(512), 512);
  EXPECT_EQ(rounded(513), 1024);
}

TEST_F(BudgetTest, TensorsAreCountedExactly) {
  {
    const at::Tensor a = floats(1000);  // 4000 → 4096
    EXPECT_EQ(current(), 4096);
    const at::Tensor b = floats(128);  // 512
    EXPECT_EQ(current(), 4096 + 512);
    const at::Tensor view = a.view({10, 100});
    EXPECT_EQ(current(), 4096 + 512);
    const at::Tensor sum = at::add(a, a);
    EXPECT_EQ(current(), 2 * 4096 + 512);
    const at::Tensor joined = at::cat({a, sum});  // 8000 → 8192
    EXPECT_EQ(current(), 2 * 4096 + 512 + 8192);
  }
  EXPECT_EQ(current(), 0);
  EXPECT_EQ(peak(), 2 * 4096 + 512 + 8192);
}

TEST_F(BudgetTest, BlocksAreAlignedAndUsable) {
  for (const int64_t count : {1, 3, 17, 1000, 100'003, 5'000'000}) {
    const at::Tensor a = at::ones({count}, at::TensorOptions().dtype(at::kFloat));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(a.const_data_ptr()) % 64, 0U);
    EXPECT_EQ(a.sum().item<double>(), static_cast<double>(count));
  }
}

TEST_F(BudgetTest, NothingHasNoAddress) {
  const at::Tensor nothing = at::empty({0, 3}, at::TensorOptions().dtype(at::kFloat));
  EXPECT_EQ(nothing.const_data_ptr(), nullptr);
  EXPECT_TRUE(nothing.is_cpu());
  EXPECT_EQ(current(), 0);
  c10::Allocator* allocator = c10::GetCPUAllocator();
  void* raw = allocator->raw_allocate(0);
  EXPECT_EQ(raw, nullptr);
  allocator->raw_deallocate(raw);
}

TEST_F(BudgetTest, RawMemoryIsCounted) {
  c10::Allocator* allocator = c10::GetCPUAllocator();
  ASSERT_NE(allocator->raw_deleter(), nullptr);
  void* raw = allocator->raw_allocate(700);
  EXPECT_EQ(current(), 1024);
  allocator->raw_deallocate(raw);
  EXPECT_EQ(current(), 0);
  const c10::DataPtr pointer = allocator->allocate(10);
  EXPECT_TRUE(allocator->is_simple_data_ptr(pointer));
  const c10::DataPtr copy = allocator->clone(pointer.get(), 10);
  EXPECT_EQ(current(), 1024);
}

TEST_F(BudgetTest, AStorageThatGrowsIsCountedAtItsNewSize) {
  const at::Tensor a = at::ones({128}, at::TensorOptions().dtype(at::kFloat));
  a.resize_({1000});
  EXPECT_EQ(current(), 4096);
  EXPECT_EQ(a[127].item<float>(), 1.0F);
  EXPECT_EQ(peak(), 4096 + 512);  // both while the values moved
  a.resize_({10});                // smaller: the storage stays
  EXPECT_EQ(current(), 4096);
}

TEST_F(BudgetTest, MemoryOfOthersIsNotCounted) {
  std::array<float, 1000> values{};
  bool is_deleted = false;
  {
    const at::Tensor borrowed = at::from_blob(
        values.data(), {1000}, [&](void*) { is_deleted = true; }, at::TensorOptions().dtype(at::kFloat));
    EXPECT_EQ(current(), 0);
    const at::Tensor copy = borrowed.clone();
    EXPECT_EQ(current(), 4096);
  }
  EXPECT_TRUE(is_deleted);
  EXPECT_EQ(current(), 0);
}

// All of oneDNN's buffers: the difference between the peak and what is left is its scratch and reorders.
TEST_F(BudgetTest, ScratchOfAConvolutionIsCounted) {
  const c10::InferenceMode no_grad;
  struct Seen {
    std::vector<int64_t> taken;
  } seen;
  const at::Tensor x = at::ones({2, 16, 40, 40}).contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor w = at::ones({32, 16, 3, 3});
  set_observer(
      [](int64_t bytes, const Mark&, void* context) {
        if (bytes > 0) {
          static_cast<Seen*>(context)->taken.push_back(bytes);
        }
      },
      &seen);
  const int64_t before = current();
  const at::Tensor y = at::conv2d(x, w, {}, 1, 1);
  set_observer(nullptr, nullptr);
  EXPECT_EQ(current() - before, rounded(static_cast<int64_t>(y.nbytes())));
  EXPECT_THAT(seen.taken, testing::Contains(rounded(static_cast<int64_t>(y.nbytes()))));
  EXPECT_GT(seen.taken.size(), 1U) << "a convolution that needs no scratch tests nothing";
  EXPECT_GT(peak(), current());
  EXPECT_EQ(y[0][0][1][1].item<float>(), 16 * 9);
}

TEST_F(BudgetTest, PastTheBudgetItThrowsAndNothingIsLeft) {
  const at::Tensor a = floats(1000);
  set_budget(counters().current_bytes + 8192);
  const at::Tensor b = floats(2000);  // 8000 → 8192: fits exactly
  EXPECT_THROW(floats(1), c10::OutOfMemoryError);
  EXPECT_EQ(current(), 4096 + 8192);
  const int64_t ledger = held(Kind::other);
  EXPECT_THROW(at::cat({a, b}), c10::OutOfMemoryError);
  EXPECT_EQ(held(Kind::other), ledger);
  EXPECT_EQ(peak(), 4096 + 8192);
  set_budget(0);
  EXPECT_EQ(at::cat({a, b}).numel(), 3000);
  EXPECT_EQ(current(), 4096 + 8192);
}

TEST_F(BudgetTest, AShortageSaysWhatAndWhere) {
  const std::string piece = "model.4.m.0.cv1";
  const PhaseScope phase(Phase::backward);
  const LayerScope layer(4, &piece, {8, 64, 80, 80});
  const KindScope kind(Kind::activations);
  const at::Tensor a = floats(1000);
  const int64_t all = counters().current_bytes;
  set_budget(all + 512);
  std::string text;
  try {
    floats(5000);
  } catch (const c10::OutOfMemoryError& error) {
    text = error.what_without_backtrace();
  }
  EXPECT_THAT(text, AllOf(HasSubstr("asked for 20.0 KiB (20480 bytes)"), HasSubstr(std::to_string(all)),
                          HasSubstr(std::to_string(all + 512)), HasSubstr("backward"),
                          HasSubstr("activations"), HasSubstr("layer 4 (model.4.m.0.cv1)")));
  const std::optional<Shortage> shortage = take_shortage();
  ASSERT_TRUE(shortage);
  EXPECT_EQ(shortage->requested_bytes, 20480);
  EXPECT_EQ(shortage->held_bytes, all);
  EXPECT_EQ(shortage->budget_bytes, all + 512);
  EXPECT_EQ(shortage->mark.phase, Phase::backward);
  EXPECT_EQ(shortage->mark.layer, 4);
  EXPECT_EQ(shortage->mark.shape, (std::array<int64_t, 4>{8, 64, 80, 80}));
  EXPECT_EQ(shortage->piece, piece);
  int64_t sum = 0;
  for (const Holder& holder : shortage->holders) {
    sum += holder.bytes;
  }
  EXPECT_EQ(sum, all);
  EXPECT_FALSE(take_shortage()) << "a shortage is taken once";
}

TEST_F(BudgetTest, MoreThanTheHostHasIsAShortageToo) {
  EXPECT_THROW(floats(int64_t{1} << 60), c10::OutOfMemoryError);
  EXPECT_EQ(current(), 0);
  const std::optional<Shortage> shortage = take_shortage();
  ASSERT_TRUE(shortage);
  EXPECT_EQ(shortage->budget_bytes, 0);
  EXPECT_EQ(shortage->requested_bytes, int64_t{1} << 62);
}

TEST_F(BudgetTest, TheLedgerKnowsKindAndLayer) {
  at::Tensor weights, first, second, beyond;
  const std::string piece = "model.0.conv";
  {
    const KindScope kind(Kind::parameters);
    weights = floats(1000);
  }
  {
    const PhaseScope phase(Phase::forward);
    const LayerScope layer(0, &piece);
    first = floats(2000);
    const LayerScope inner(1023, &piece);
    second = floats(3000);
    const LayerScope outside(1024, &piece);
    beyond = floats(100);
  }
  EXPECT_EQ(held(Kind::parameters), 4096);
  EXPECT_EQ(held(Kind::activations, 0), 8192);
  EXPECT_EQ(held(Kind::activations, 1023), rounded(12000));
  EXPECT_EQ(held(Kind::activations), 512) << "what no layer can be named for";
  const std::vector<Holder> all = holders();
  EXPECT_TRUE(
      std::is_sorted(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.bytes > b.bytes; }));
  // Released where and while something else is going on.
  const PhaseScope phase(Phase::optimizer);
  const LayerScope layer(7, &piece);
  first.reset();
  second.reset();
  weights.reset();
  beyond.reset();
  EXPECT_EQ(held(Kind::parameters), 0);
  EXPECT_EQ(held(Kind::activations, 0), 0);
  EXPECT_EQ(held(Kind::activations, 1023), 0);
  EXPECT_EQ(held(Kind::activations), 0);
  EXPECT_EQ(held(Kind::transient, 7), 0);
  EXPECT_EQ(current(), 0);
}

TEST_F(BudgetTest, HostMemoryIsCountedApartAndKnowsNoBudget) {
  set_budget(std::max<int64_t>(counters().current_bytes, 1));
  at::Tensor staging;
  {
    const KindScope kind(Kind::host);
    staging = floats(1'000'000);
  }
  EXPECT_EQ(host(), rounded(4'000'000));
  EXPECT_EQ(counters().host_peak_bytes - before_.host_bytes, rounded(4'000'000));
  EXPECT_EQ(current(), 0);
  EXPECT_EQ(peak(), 0);
  EXPECT_THROW(floats(1), c10::OutOfMemoryError);
  EXPECT_EQ(held(Kind::host), 0) << "holders are those of the budget";
  staging.reset();
  EXPECT_EQ(host(), 0);
}

TEST_F(BudgetTest, ChargesCountAsAllocationsDo) {
  {
    const Charge buckets(1000, Kind::gradients);
    EXPECT_EQ(current(), 1024);
    EXPECT_EQ(held(Kind::gradients), 1024);
    EXPECT_EQ(counters().charged_bytes - before_.charged_bytes, 1024);
    set_budget(counters().current_bytes + 512);
    EXPECT_THROW(charge(513, Kind::gradients), c10::OutOfMemoryError);
    EXPECT_EQ(take_shortage().value().requested_bytes, 1024);
    charge(512, Kind::gradients);
    discharge(512, Kind::gradients);
  }
  EXPECT_EQ(current(), 0);
  EXPECT_EQ(held(Kind::gradients), 0);
  EXPECT_EQ(counters().charged_bytes, before_.charged_bytes);
  EXPECT_EQ(peak(), 1024 + 512);
}

// Apart, because on a card the rest of what is counted here lies on the host.
TEST_F(BudgetTest, ChargesAreHoldersOfTheirOwn) {
  const at::Tensor tensor = floats(1000);
  const LayerScope layer(5, nullptr);
  const Charge buckets(700, Kind::gradients);
  const Charge staging(700, Kind::host);
  const std::vector<Holder> charged = charged_holders();
  ASSERT_EQ(charged.size(), 1u);
  EXPECT_EQ(charged[0].kind, Kind::gradients);
  EXPECT_EQ(charged[0].layer, -1);
  EXPECT_EQ(charged[0].bytes, 1024);
}

TEST_F(BudgetTest, WhoCanDoWithoutLeavesNoShortage) {
  set_budget(counters().current_bytes + 512);
  {
    const SpareScope can_do_without;
    EXPECT_THROW(floats(1000), c10::OutOfMemoryError);
    EXPECT_FALSE(take_shortage());
    // Other threads are not meant, nor is a shortage that is there already.
    std::jthread([] { EXPECT_THROW(floats(2000), c10::OutOfMemoryError); }).join();
    EXPECT_THROW(floats(1000), c10::OutOfMemoryError);
  }
  EXPECT_EQ(take_shortage().value().requested_bytes, rounded(8000));
  EXPECT_THROW(floats(1000), c10::OutOfMemoryError);
  EXPECT_TRUE(take_shortage());
}

TEST_F(BudgetTest, ResetPeakBeginsAtWhatIsHeld) {
  at::Tensor a = floats(1000);
  floats(100'000);
  EXPECT_EQ(peak(), 4096 + rounded(400'000));
  reset_peak();
  EXPECT_EQ(peak(), 4096);
  a.reset();
  EXPECT_EQ(peak(), 4096);
}

TEST_F(BudgetTest, ThreadsLoseNothing) {
  constexpr int thread_count = 4, rounds = 2000;
  std::vector<std::thread> threads;
  std::vector<at::Tensor> kept(thread_count);
  for (int t = 0; t < thread_count; ++t) {
    threads.emplace_back([&kept, t] {
      const KindScope kind(t % 2 == 0 ? Kind::activations : Kind::transient);
      for (int i = 0; i < rounds; ++i) {
        kept[static_cast<size_t>(t)] = floats(1 + i % 700);  // the one before goes after this has come
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  int64_t left = 0;
  for (const at::Tensor& tensor : kept) {
    left += rounded(static_cast<int64_t>(tensor.nbytes()));
  }
  EXPECT_EQ(current(), left);
  EXPECT_GE(peak(), left);
  EXPECT_LE(peak(), thread_count * 2 * rounded(700 * 4));
  kept.clear();  // by a thread that took none of them
  EXPECT_EQ(current(), 0);
  EXPECT_EQ(held(Kind::activations) + held(Kind::transient), 0);
}

TEST_F(BudgetTest, ThreadsTogetherStayWithinTheBudget) {
  set_budget(counters().current_bytes + 100 * 512);
  std::vector<std::thread> threads;
  std::array<std::vector<at::Tensor>, 4> kept;
  std::atomic<int> refused{0};
  for (auto& mine : kept) {
    threads.emplace_back([&mine, &refused] {
      for (int i = 0; i < 50; ++i) {
        try {
          mine.push_back(floats(1));
        } catch (const c10::OutOfMemoryError&) {
          ++refused;
        }
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(refused, 100);
  EXPECT_EQ(current(), 100 * 512);
  EXPECT_EQ(peak(), 100 * 512);
}

TEST_F(BudgetTest, AnObserverSeesEverythingWithItsMark) {
  struct Log {
    std::vector<std::pair<int64_t, Kind>> calls;
  } log;
  set_observer([](int64_t bytes, const Mark& mark,
                  void* context) { static_cast<Log*>(context)->calls.emplace_back(bytes, mark.kind); },
               &log);
  {
    const KindScope kind(Kind::loss);
    at::Tensor a = floats(200);
    const KindScope other(Kind::host);
    const at::Tensor b = floats(1);
    a.reset();
  }
  charge(5, Kind::gradients);
  discharge(5, Kind::gradients);
  set_observer(nullptr, nullptr);
  floats(1);
  using Call = std::pair<int64_t, Kind>;
  EXPECT_THAT(log.calls, testing::ElementsAre(Call{1024, Kind::loss}, Call{512, Kind::host},
                                              Call{-1024, Kind::loss}, Call{-512, Kind::host},
                                              Call{512, Kind::gradients}, Call{-512, Kind::gradients}));
}

TEST_F(BudgetTest, InstallingAgainChangesNothing) {
  const c10::Allocator* allocator = c10::GetCPUAllocator();
  install_counting_allocator();
  EXPECT_EQ(c10::GetCPUAllocator(), allocator);
}

// No time is asserted (the machine is shared); the figure is printed for who looks.
TEST_F(BudgetTest, AnAllocationCostsLittle) {
  constexpr int rounds = 200'000;
  c10::Allocator* ours = c10::GetCPUAllocator();
  const auto nanoseconds = [](c10::Allocator* allocator) {
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < rounds; ++i) {
      allocator->raw_deallocate(allocator->raw_allocate(4096));
    }
    return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start).count() /
           rounds;
  };
  RecordProperty("counting_ns", static_cast<int>(nanoseconds(ours)));
  RecordProperty("plain_ns", static_cast<int>(nanoseconds(c10::GetDefaultCPUAllocator())));
  std::printf("an allocation and its release: %.0f ns counted, %.0f ns plain\n", nanoseconds(ours),
              nanoseconds(c10::GetDefaultCPUAllocator()));
  EXPECT_EQ(current(), 0);
}

}  // namespace
}  // namespace yolodist::memory
