// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/bytes.h"

namespace yolodist::device {

// What a container or a scheduler allows this process; nothing = no limit.
struct CgroupLimits {
  std::optional<Bytes> memory;       // the tightest of the groups that it is in
  std::optional<Bytes> memory_used;  // of the same group
  std::optional<double> cores;       // quota / period
};

// `membership` is the text of /proc/self/cgroup, `root` where the control groups are mounted. Versions 1 and
// 2; what cannot be read is no limit.
CgroupLimits read_cgroup_limits(std::string_view membership, const std::filesystem::path& root);

// Free and total of a file system.
struct Space {
  Bytes total, free;
  bool is_writable = false;
};
// Nothing where there is no such folder.
std::optional<Space> space_of(const std::filesystem::path& folder);

// The soft limit; nothing = unlimited.
struct ProcessLimits {
  std::optional<int64_t> open_files, locked_bytes;
};

struct HostFacts {
  std::string host;
  Bytes memory;                           // installed
  std::optional<Bytes> memory_available;  // MemAvailable of /proc/meminfo
  CgroupLimits cgroup;
  std::optional<Space> shared_memory;  // /dev/shm
  std::optional<Space> folder;         // the current one
  std::string folder_path;
  int allowed_cores = 0, online_cores = 0;
  std::string core_list;  // "0-3,8"
  ProcessLimits limits;
  bool has_infiniband = false;
};
HostFacts read_host_facts();

}  // namespace yolodist::device
