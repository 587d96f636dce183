// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/data/cache_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <system_error>

#include "common/base/error.h"

namespace yolodist::data {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view magic = "yolodist cache";

template <size_t N>
void put(char (&field)[N], std::string_view text) {
  std::memset(field, 0, N);
  std::memcpy(field, text.data(), std::min(text.size(), N - 1));
}

std::string this_boot() {
  std::ifstream stream("/proc/sys/kernel/random/boot_id");
  std::string text;
  stream >> text;
  return text;
}

template <typename T>
bool read_at(int descriptor, uint64_t offset, T* into, size_t count) {
  size_t done = 0;
  auto* bytes = reinterpret_cast<char*>(into);
  while (done < count * sizeof(T)) {
    const ssize_t got =
        ::pread(descriptor, bytes + done, count * sizeof(T) - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got <= 0) {
      return false;
    }
    done += static_cast<size_t>(got);
  }
  return true;
}

void write_at(int descriptor, uint64_t offset, const void* data, size_t count) {
  const auto* bytes = static_cast<const char*>(data);
  size_t done = 0;
  while (done < count) {
    const ssize_t written =
        ::pwrite(descriptor, bytes + done, count - done, static_cast<off_t>(offset + done));
    if (written < 0 && errno == EINTR) {
      continue;
    }
    if (written <= 0) {
      throw StorageError(errno_text(errno));
    }
    done += static_cast<size_t>(written);
  }
}

}  // namespace

Descriptor::~Descriptor() {
  if (number_ >= 0) {
    ::close(number_);
  }
}

CacheHeader cache_header(const std::string& key, const CacheLayout& layout, bool is_kept) {
  CacheHeader header;
  put(header.magic, magic);
  put(header.key, key);
  put(header.boot, this_boot());
  header.version = cache_version;
  header.is_kept = is_kept ? 1 : 0;
  header.entry_count = layout.entries.size();
  header.total_bytes = layout.total_bytes;
  return header;
}

std::optional<std::vector<CacheEntry>> cache_entries(int descriptor, const CacheHeader& expected,
                                                     const CacheLayout& layout) {
  struct stat status {};
  CacheHeader header;
  if (::fstat(descriptor, &status) != 0 || static_cast<uint64_t>(status.st_size) != layout.total_bytes ||
      !read_at(descriptor, 0, &header, 1) || std::memcmp(&header, &expected, sizeof(header)) != 0) {
    return std::nullopt;
  }
  std::vector<CacheEntry> entries(layout.entries.size());
  if (!read_at(descriptor, cache_entries_offset, entries.data(), entries.size())) {
    return std::nullopt;
  }
  const auto is_same_place = [](const CacheEntry& a, const CacheEntry& b) {
    return a.offset == b.offset && a.height_px == b.height_px && a.width_px == b.width_px;
  };
  if (!std::equal(entries.begin(), entries.end(), layout.entries.begin(), is_same_place)) {
    return std::nullopt;
  }
  return entries;
}

// The header comes last, so that a file whose making was cut off is not taken for a cache.
void make_cache(int descriptor, const CacheHeader& header, const CacheLayout& layout) {
  if (::ftruncate(descriptor, 0) != 0 ||
      ::ftruncate(descriptor, static_cast<off_t>(layout.total_bytes)) != 0) {
    throw StorageError(errno_text(errno));
  }
  std::vector<char> head(layout.pixels_offset, '\0');
  std::memcpy(head.data() + cache_entries_offset, layout.entries.data(),
              layout.entries.size() * sizeof(CacheEntry));
  write_at(descriptor, 0, head.data(), head.size());
  write_at(descriptor, 0, &header, sizeof(header));
}

void free_claimed_entries(int descriptor, std::vector<CacheEntry> entries) {
  for (size_t i = 0; i < entries.size(); ++i) {
    if (entries[i].state == static_cast<uint32_t>(EntryState::claimed)) {
      entries[i].state = static_cast<uint32_t>(EntryState::absent);
      write_at(descriptor, cache_entries_offset + i * sizeof(CacheEntry), &entries[i], sizeof(CacheEntry));
    }
  }
}

void remove_abandoned_caches(const fs::path& folder, const fs::path& own) {
  std::error_code error;
  for (fs::directory_iterator entry(folder, error); !error && entry != fs::directory_iterator();
       entry.increment(error)) {
    const fs::path path = entry->path();
    if (!path.filename().string().starts_with(cache_name_start) || path == own) {
      continue;
    }
    const Descriptor file(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    struct stat status {};
    if (file.get() < 0 || ::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode) ||
        status.st_uid != ::geteuid() || ::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
      continue;
    }
    CacheHeader header;
    const bool is_cache =
        read_at(file.get(), 0, &header, 1) && std::string_view(header.magic, magic.size()) == magic;
    if (!is_cache || header.is_kept == 0) {
      ::unlink(path.c_str());
    }
  }
}

}  // namespace yolodist::data
