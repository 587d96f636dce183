// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/device/host_facts.h"

#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iterator>
#include <vector>

#include "common/base/host_name.h"
#include "common/base/text.h"
#include "launcher/device/host.h"

namespace yolodist::device {
namespace {

namespace fs = std::filesystem;

// Files of /proc and /sys have no size: they are read to their end. "" where there is none.
std::string content(const fs::path& file) {
  std::ifstream stream(file);
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

std::optional<int64_t> number(std::string_view text) {
  int64_t value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  return result.ec == std::errc() ? std::optional(value) : std::nullopt;
}

// Version 1 says "no limit" by the largest multiple of a page.
constexpr int64_t no_limit_bytes = int64_t{1} << 60;

void take_memory(CgroupLimits& limits, const fs::path& limit_file, const fs::path& used_file) {
  const std::optional<int64_t> limit = number(trimmed(content(limit_file)));
  if (limit && *limit < no_limit_bytes && (!limits.memory || *limit < limits.memory->count)) {
    limits.memory = Bytes{*limit};
    const std::optional<int64_t> used = number(trimmed(content(used_file)));
    limits.memory_used = used ? std::optional(Bytes{*used}) : std::nullopt;
  }
}

void take_cores(CgroupLimits& limits, std::optional<int64_t> quota, std::optional<int64_t> period) {
  if (quota && period && *quota > 0 && *period > 0) {
    const double cores = static_cast<double>(*quota) / static_cast<double>(*period);
    limits.cores = std::min(limits.cores.value_or(cores), cores);
  }
}

// The group and all above it. In a container the path may be the host's, which is not mounted there; its root
// is the container's group then.
void walk(const fs::path& mount, const std::string& path, const auto& take) {
  fs::path group = fs::path(path).relative_path();
  while (true) {
    take(mount / group);
    if (group.empty()) {
      return;
    }
    group = group.parent_path();
  }
}

std::optional<int64_t> soft_limit(decltype(RLIMIT_NOFILE) which) {
  rlimit limit{};
  if (getrlimit(which, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) {
    return std::nullopt;
  }
  return static_cast<int64_t>(limit.rlim_cur);
}

std::optional<Bytes> available_memory() {
  for (const std::string& line : split(content("/proc/meminfo"), '\n')) {
    constexpr std::string_view name = "MemAvailable:";
    if (line.starts_with(name)) {
      if (const auto kib = number(trimmed(line.substr(name.size())))) {
        return Bytes{*kib * 1024};
      }
    }
  }
  return std::nullopt;
}

}  // namespace

CgroupLimits read_cgroup_limits(std::string_view membership, const fs::path& root) {
  CgroupLimits limits;
  for (const std::string& line : split(membership, '\n')) {
    // "0::/user.slice", or "4:memory:/docker/…".
    const size_t first = line.find(':'),
                 second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) {
      continue;
    }
    const std::string controllers = line.substr(first + 1, second - first - 1),
                      path = line.substr(second + 1);
    const std::vector<std::string> names = split(controllers, ',');
    const auto has = [&](const char* name) {
      return std::find(names.begin(), names.end(), name) != names.end();
    };
    if (controllers.empty()) {
      walk(root, path, [&](const fs::path& group) {
        take_memory(limits, group / "memory.max", group / "memory.current");
        const std::vector<std::string> words = split(trimmed(content(group / "cpu.max")), ' ');
        if (words.size() == 2) {
          take_cores(limits, number(words[0]), number(words[1]));
        }
      });
    } else if (has("memory")) {
      walk(root / "memory", path, [&](const fs::path& group) {
        take_memory(limits, group / "memory.limit_in_bytes", group / "memory.usage_in_bytes");
      });
    } else if (has("cpu")) {
      walk(root / "cpu", path, [&](const fs::path& group) {
        take_cores(limits, number(trimmed(content(group / "cpu.cfs_quota_us"))),
                   number(trimmed(content(group / "cpu.cfs_period_us"))));
      });
    }
  }
  return limits;
}

std::optional<Space> space_of(const fs::path& folder) {
  struct statvfs status {};
  if (statvfs(folder.c_str(), &status) != 0) {
    return std::nullopt;
  }
  const auto block = static_cast<int64_t>(status.f_frsize);
  return Space{{static_cast<int64_t>(status.f_blocks) * block},
               {static_cast<int64_t>(status.f_bavail) * block},
               access(folder.c_str(), W_OK) == 0};
}

HostFacts read_host_facts() {
  HostFacts facts;
  facts.host = host_name();
  facts.memory = host_memory();
  facts.memory_available = available_memory();
  facts.cgroup = read_cgroup_limits(content("/proc/self/cgroup"), "/sys/fs/cgroup");
  facts.shared_memory = space_of("/dev/shm");
  std::error_code failure;
  facts.folder_path = fs::current_path(failure).string();
  facts.folder = space_of(".");
  const Cores cores = allowed_cores();
  facts.allowed_cores = static_cast<int>(cores.size());
  facts.online_cores = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
  facts.core_list = cores_text(cores);
  facts.limits = {soft_limit(RLIMIT_NOFILE), soft_limit(RLIMIT_MEMLOCK)};
  const fs::directory_iterator fabric("/sys/class/infiniband", failure);
  facts.has_infiniband = !failure && fabric != fs::directory_iterator();
  return facts;
}

}  // namespace yolodist::device
