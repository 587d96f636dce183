// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include "worker/data/index.h"

namespace yolodist::data {

// The file of a picture cache: header, one entry a picture, then the pixels (BGR, rows without gaps). Numbers
// are those of this machine: the file never leaves it. cache_version changes with anything here, and with the
// resizing.
constexpr uint32_t cache_version = 1;

struct CacheHeader {
  char magic[16] = {};  // "yolodist cache"; written last, so a half-made file has none
  char key[40] = {};    // 32 hexadecimal digits: what the pictures are of
  char boot[40] = {};   // the machine's boot: what was not yet on the disk when it went down is not trusted
  uint32_t version = 0;
  uint32_t is_kept = 0;  // stays when nobody uses it any more
  uint64_t entry_count = 0;
  uint64_t total_bytes = 0;
};
static_assert(std::is_trivially_copyable_v<CacheHeader>);

enum class EntryState : uint32_t {
  absent = 0,
  claimed = 1,  // a process is writing it; if it dies there, the file's next sole user clears this
  ready = 2,
  refused = 3,  // cannot be decoded, or is not of the size that the index has
};

struct CacheEntry {
  uint64_t offset = 0;  // of the pixels, from the file's start
  uint32_t height_px = 0, width_px = 0;
  uint32_t state = 0;  // EntryState, atomic
  uint32_t unused = 0;
};
static_assert(std::is_trivially_copyable_v<CacheEntry>);

constexpr size_t cache_entries_offset = 4096;  // a page for the header

// Where everything lies. A function of the pictures' sizes and the side.
struct CacheLayout {
  std::vector<CacheEntry> entries;  // all absent
  uint64_t pixels_offset = 0;
  uint64_t total_bytes = 0;
};
CacheLayout cache_layout(const Index& index, int side_px);

// 32 hexadecimal digits: equal for equal files (paths, sizes, times of change), sides, rules, users and
// hosts.
std::string cache_key(const Index& index, int side_px, bool for_training, bool is_kept);

}  // namespace yolodist::data
