// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/device/host_facts.h"

#include <gtest/gtest.h>

#include "tests/support/temporary_folder.h"

namespace yolodist::device {
namespace {

using test::TemporaryFolder;

TEST(CgroupLimits, OfVersionTwoAreTheTightestOnTheWayUp) {
  const TemporaryFolder root;
  root.write("a/b/memory.max", "max\n");
  root.write("a/b/cpu.max", "max 100000\n");
  root.write("a/memory.max", "8589934592\n");
  root.write("a/memory.current", "1073741824\n");
  root.write("a/cpu.max", "150000 100000\n");
  root.write("memory.max", "17179869184\n");
  const CgroupLimits limits = read_cgroup_limits("0::/a/b\n", root.path());
  ASSERT_TRUE(limits.memory && limits.memory_used && limits.cores);
  EXPECT_EQ(limits.memory->count, int64_t{8} << 30);
  EXPECT_EQ(limits.memory_used->count, int64_t{1} << 30);
  EXPECT_DOUBLE_EQ(*limits.cores, 1.5);
}

TEST(CgroupLimits, OfAContainerAreThoseOfItsRoot) {
  const TemporaryFolder root;
  root.write("memory.max", "2147483648\n");
  const CgroupLimits limits = read_cgroup_limits("0::/docker/not-mounted-here\n", root.path());
  ASSERT_TRUE(limits.memory);
  EXPECT_EQ(limits.memory->count, int64_t{2} << 30);
  EXPECT_FALSE(limits.cores);
}

TEST(CgroupLimits, OfVersionOne) {
  const TemporaryFolder root;
  root.write("memory/job/memory.limit_in_bytes", "4294967296\n");
  root.write("memory/memory.limit_in_bytes", "9223372036854771712\n");
  root.write("cpu/job/cpu.cfs_quota_us", "200000\n");
  root.write("cpu/job/cpu.cfs_period_us", "100000\n");
  root.write("cpu/cpu.cfs_quota_us", "-1\n");
  const CgroupLimits limits = read_cgroup_limits("5:memory:/job\n4:cpu,cpuacct:/job\n0::/\n", root.path());
  ASSERT_TRUE(limits.memory && limits.cores);
  EXPECT_EQ(limits.memory->count, int64_t{4} << 30);
  EXPECT_DOUBLE_EQ(*limits.cores, 2);
}

TEST(CgroupLimits, ThatCannotBeReadAreNone) {
  const TemporaryFolder root;
  root.write("memory.max", "many\n");
  root.write("cpu.max", "100000\n");
  for (const char* membership : {"", "0::/", "nonsense", "::", "1:cpu:", "0::/../..\n"}) {
    const CgroupLimits limits = read_cgroup_limits(membership, root.path());
    EXPECT_FALSE(limits.memory || limits.cores) << membership;
  }
}

TEST(HostFacts, AreThoseOfThisHost) {
  const HostFacts facts = read_host_facts();
  EXPECT_GT(facts.memory.count, 0);
  EXPECT_GT(facts.allowed_cores, 0);
  EXPECT_GE(facts.online_cores, facts.allowed_cores);
  ASSERT_TRUE(facts.folder.has_value());
  EXPECT_GT(facts.folder->total.count, 0);
  EXPECT_FALSE(space_of("/no/such/folder").has_value());
}

}  // namespace
}  // namespace yolodist::device
