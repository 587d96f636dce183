// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "worker/data/cache_layout.h"

namespace yolodist::data {

// A descriptor that is closed unless it is released.
class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor();
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return number_; }
  int release() { return std::exchange(number_, -1); }

 private:
  int number_;
};

// What open_picture_cache does with the file itself. The descriptor is open for reading and writing.
// Functions that change the file are for its only user, who holds its exclusive lock; they throw
// StorageError.

constexpr std::string_view cache_name_start = "yolodist-cache-";  // the key follows

CacheHeader cache_header(const std::string& key, const CacheLayout& layout, bool is_kept);

// The entries of a file that is this cache, whole and of this boot; else nothing.
std::optional<std::vector<CacheEntry>> cache_entries(int descriptor, const CacheHeader& expected,
                                                     const CacheLayout& layout);

// Makes the file anew, without pixels: its length is set at once but takes no room before they are written.
void make_cache(int descriptor, const CacheHeader& header, const CacheLayout& layout);

// Entries that a process was writing when it died are free again.
void free_claimed_entries(int descriptor, std::vector<CacheEntry> entries);

// Removes caches in memory, and half-made files, that no process has locked.
void remove_abandoned_caches(const std::filesystem::path& folder, const std::filesystem::path& own);

}  // namespace yolodist::data
