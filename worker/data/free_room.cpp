// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/data/free_room.h"

#include <linux/magic.h>
#include <sys/statfs.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>

#include "common/base/error.h"
#include "common/base/text.h"

namespace yolodist::data {
namespace {

namespace fs = std::filesystem;

constexpr int64_t no_limit = std::numeric_limits<int64_t>::max();

std::optional<int64_t> number_in(const fs::path& file) {
  std::ifstream stream(file);
  int64_t value = 0;
  return stream >> value ? std::optional(value) : std::nullopt;  // "max" is no number
}

// A line "name   123 kB" of meminfo, or "name 123" of memory.stat.
int64_t entry_of(const fs::path& file, const std::string& name) {
  std::ifstream stream(file);
  std::string line;
  while (std::getline(stream, line)) {
    std::istringstream words(line);
    std::string key, unit;
    int64_t value = 0;
    if (words >> key >> value && key == name) {
      return words >> unit && unit == "kB" ? value * 1024 : value;
    }
  }
  return -1;
}

// What one control group leaves. Pages that the kernel can drop at once do not count as used.
int64_t left_in_group(const fs::path& group, const char* limit_name, const char* usage_name,
                      const char* droppable_name) {
  const std::optional<int64_t> limit = number_in(group / limit_name), usage = number_in(group / usage_name);
  if (!limit || !usage) {
    return no_limit;
  }
  const int64_t droppable = std::max<int64_t>(0, entry_of(group / "memory.stat", droppable_name));
  return std::max<int64_t>(0, *limit - std::max<int64_t>(0, *usage - droppable));
}

// The least that a group and those above it leave. Inside a container the path that the kernel names may not
// be visible; its own group then stands at the mount's root.
int64_t left_in_groups(const fs::path& mount, const std::string& group, const char* limit_name,
                       const char* usage_name, const char* droppable_name) {
  int64_t left = left_in_group(mount, limit_name, usage_name, droppable_name);
  fs::path at = mount;
  for (const fs::path& part : fs::path(group).relative_path()) {
    at /= part;
    left = std::min(left, left_in_group(at, limit_name, usage_name, droppable_name));
  }
  return left;
}

}  // namespace

int64_t free_memory_bytes(const fs::path& root) {
  int64_t bytes = entry_of(root / "proc/meminfo", "MemAvailable:");
  bytes = bytes < 0 ? no_limit : bytes;
  std::ifstream groups(root / "proc/self/cgroup");
  std::string line;
  while (std::getline(groups, line)) {
    const std::vector<std::string> fields = split(line, ':');  // number, controllers, path
    if (fields.size() < 3) {
      continue;
    }
    const std::vector<std::string> controllers = split(fields[1], ',');
    const fs::path mount = root / "sys/fs/cgroup";
    if (fields[0] == "0" && fields[1].empty()) {
      bytes =
          std::min(bytes, left_in_groups(mount, fields[2], "memory.max", "memory.current", "inactive_file"));
    } else if (std::find(controllers.begin(), controllers.end(), "memory") != controllers.end()) {
      bytes = std::min(bytes, left_in_groups(mount / "memory", fields[2], "memory.limit_in_bytes",
                                             "memory.usage_in_bytes", "total_inactive_file"));
    }
  }
  return bytes;
}

FreeRoom free_room(const fs::path& folder) {
  struct statfs status {};
  if (::statfs(folder.c_str(), &status) != 0) {
    throw StorageError(cat(folder.string(), ": ", errno_text(errno)));
  }
  FreeRoom room;
  room.bytes = static_cast<int64_t>(status.f_bavail) * static_cast<int64_t>(status.f_bsize);
  const auto type = static_cast<uint32_t>(status.f_type);
  if (type == TMPFS_MAGIC || type == static_cast<uint32_t>(RAMFS_MAGIC)) {
    // A ramfs has no size of its own and reports none.
    const int64_t memory = free_memory_bytes();
    room.is_memory_limit = memory < room.bytes || type == static_cast<uint32_t>(RAMFS_MAGIC);
    room.bytes = room.is_memory_limit ? memory : room.bytes;
  }
  return room;
}

}  // namespace yolodist::data
