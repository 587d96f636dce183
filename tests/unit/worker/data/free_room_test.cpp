// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/data/free_room.h"

#include <gtest/gtest.h>

#include "common/base/error.h"
#include "tests/unit/worker/data/temporary_folder.h"

namespace yolodist::data {
namespace {

constexpr int64_t kib = 1024, mib = 1024 * kib;

TEST(FreeMemory, IsWhatTheKernelCallsAvailable) {
  TemporaryFolder root;
  root.write("proc/meminfo", "MemTotal:       8000 kB\nMemFree:  10 kB\nMemAvailable:    5000 kB\n");
  EXPECT_EQ(free_memory_bytes(root.path()), 5000 * kib);
  EXPECT_GT(free_memory_bytes(), 16 * mib);
}

TEST(FreeMemory, IsWhatTheNarrowestControlGroupLeaves) {
  TemporaryFolder root;
  root.write("proc/meminfo", "MemAvailable: 5000000 kB\n");
  root.write("proc/self/cgroup", "0::/slurm/job_1/step_0\n");
  const std::string groups = "sys/fs/cgroup/slurm/";
  root.write(groups + "memory.max", "max\n");
  root.write(groups + "memory.current", "1\n");
  root.write(groups + "job_1/memory.max", std::to_string(100 * mib));
  root.write(groups + "job_1/memory.current", std::to_string(70 * mib));
  root.write(groups + "job_1/memory.stat",
             "anon 5\ninactive_file " + std::to_string(20 * mib) + "\nfile 1\n");
  root.write(groups + "job_1/step_0/memory.max", std::to_string(80 * mib));
  root.write(groups + "job_1/step_0/memory.current", std::to_string(1 * mib));
  EXPECT_EQ(free_memory_bytes(root.path()), 50 * mib);
}

TEST(FreeMemory, KnowsTheFirstVersionOfControlGroups) {
  TemporaryFolder root;
  root.write("proc/meminfo", "MemAvailable: 5000000 kB\n");
  root.write("proc/self/cgroup", "5:cpu,cpuacct:/\n3:memory:/docker/abc\n");
  // Inside a container its own group is the mount's root.
  root.write("sys/fs/cgroup/memory/memory.limit_in_bytes", std::to_string(64 * mib));
  root.write("sys/fs/cgroup/memory/memory.usage_in_bytes", std::to_string(80 * mib));
  EXPECT_EQ(free_memory_bytes(root.path()), 0);
}

TEST(FreeRoom, IsTheFileSystems) {
  TemporaryFolder folder;
  EXPECT_GT(free_room(folder.path()).bytes, 0);
  EXPECT_THROW(free_room(folder.path() / "none"), StorageError);
}

}  // namespace
}  // namespace yolodist::data
