// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace yolodist::data {

// What a folder's file system still takes. Where it keeps files in memory, what the memory still takes if
// that is less.
struct FreeRoom {
  int64_t bytes = 0;
  bool is_memory_limit = false;  // the memory is the narrower of the two
};
// Throws StorageError when the folder cannot be asked.
FreeRoom free_room(const std::filesystem::path& folder);

// Memory that can be had without swapping: what the kernel reports, and what the control groups of this
// process leave. `root` is "/" but in tests.
int64_t free_memory_bytes(const std::filesystem::path& root = "/");

}  // namespace yolodist::data
