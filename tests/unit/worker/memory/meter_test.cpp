// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/memory/meter.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <c10/util/Exception.h>
#include <gtest/gtest.h>

#include "worker/memory/budget.h"

namespace yolodist::memory {
namespace {

const c10::Device cpu(c10::DeviceType::CPU);

class MeterTest : public testing::Test {
 protected:
  MeterTest() {
    install_counting_allocator();
    limit(cpu, 0);
    reset_peak(cpu);
    forget_highest();
    before_ = read(cpu);
  }
  ~MeterTest() override { limit(cpu, 0); }
  Reading before_;
};

at::Tensor bytes(int64_t count) {
  return at::empty({count}, at::TensorOptions().dtype(at::kByte));
}

TEST_F(MeterTest, ReadsWhatTheAllocatorCounts) {
  const at::Tensor a = bytes(1000);
  bytes(10'000);
  const Reading now = read(cpu);
  EXPECT_EQ(now.current_bytes - before_.current_bytes, 1024);
  EXPECT_EQ(now.peak_bytes - before_.current_bytes, 1024 + 10'240);
  EXPECT_EQ(now.reserved_bytes, now.current_bytes);
  const KindScope kind(Kind::host);
  const at::Tensor staging = bytes(512);
  EXPECT_EQ(read(cpu).host_bytes - before_.host_bytes, 512);
  EXPECT_EQ(read(cpu).current_bytes, now.current_bytes);
}

TEST_F(MeterTest, TheHighestOutlivesResets) {
  const int64_t base = before_.current_bytes;
  bytes(10'240);
  reset_peak(cpu);
  EXPECT_EQ(read(cpu).peak_bytes, base);
  EXPECT_EQ(read(cpu).highest_bytes, base + 10'240);
  bytes(4096);
  EXPECT_EQ(read(cpu).highest_bytes, base + 10'240);
  bytes(20'480);
  EXPECT_EQ(read(cpu).highest_bytes, base + 20'480) << "before the reset as well";
  reset_peak(cpu);
  forget_highest();
  EXPECT_EQ(read(cpu).highest_bytes, base);
}

TEST_F(MeterTest, LimitsTheCpuByItsBudget) {
  limit(cpu, before_.current_bytes + 1024);
  EXPECT_EQ(limit_of(cpu), before_.current_bytes + 1024);
  const at::Tensor a = bytes(1024);
  EXPECT_THROW(bytes(1), c10::OutOfMemoryError);
  limit(cpu, 0);
  EXPECT_EQ(limit_of(cpu), 0);
  EXPECT_NO_THROW(bytes(1));
}

TEST_F(MeterTest, PeaksAreKeptByPhase) {
  PhasePeaks peaks(cpu);
  const int64_t base = before_.current_bytes;
  const at::Tensor kept = bytes(1024);
  bytes(4096);
  peaks.note(Phase::forward);
  EXPECT_EQ(peaks.of(Phase::forward), base + 1024 + 4096);
  bytes(2048);
  peaks.note(Phase::backward);
  EXPECT_EQ(peaks.of(Phase::backward), base + 1024 + 2048);
  // A second round that needs less does not lower it; one that needs more raises it.
  peaks.note(Phase::forward);
  EXPECT_EQ(peaks.of(Phase::forward), base + 1024 + 4096);
  bytes(8192);
  peaks.note(Phase::backward);
  EXPECT_EQ(peaks.of(Phase::backward), base + 1024 + 8192);
  EXPECT_EQ(peaks.highest(), base + 1024 + 8192);
  EXPECT_EQ(peaks.of(Phase::validation), 0);
  peaks.reset();
  EXPECT_EQ(peaks.highest(), 0);
}

}  // namespace
}  // namespace yolodist::memory
