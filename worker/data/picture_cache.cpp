// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/data/picture_cache.h"

#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/text.h"
#include "worker/data/decode.h"

namespace yolodist::data {
namespace {

// The state as processes share it.
std::atomic_ref<uint32_t> shared_state(uint8_t* head, size_t entry) {
  static_assert(std::atomic_ref<uint32_t>::is_always_lock_free);
  auto* entries = reinterpret_cast<CacheEntry*>(head + cache_entries_offset);
  return std::atomic_ref<uint32_t>(entries[entry].state);
}

uint8_t* mapped(const CacheFile& file, size_t bytes, int protection) {
  void* memory = ::mmap(nullptr, bytes, protection, MAP_SHARED, file.descriptor, 0);
  if (memory == MAP_FAILED) {
    throw StorageError(cat(file.path.string(), ": cannot be mapped: ", errno_text(errno)));
  }
  return static_cast<uint8_t*>(memory);
}

bool write_at(int descriptor, uint64_t offset, const uint8_t* data, size_t bytes) {
  while (bytes > 0) {
    const ssize_t written = ::pwrite(descriptor, data, bytes, static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) {
      continue;
    }
    if (written <= 0) {
      return false;
    }
    data += written;
    bytes -= static_cast<size_t>(written);
    offset += static_cast<uint64_t>(written);
  }
  return true;
}

}  // namespace

PictureCache::PictureCache(CacheFile file) : file_(std::move(file)) {
  try {
    head_ = mapped(file_, file_.layout.pixels_offset, PROT_READ | PROT_WRITE);
    pixels_ = mapped(file_, file_.layout.total_bytes, PROT_READ);
  } catch (const StorageError&) {
    if (head_ != nullptr) {
      ::munmap(head_, file_.layout.pixels_offset);
    }
    ::close(file_.descriptor);
    throw;
  }
}

PictureCache::~PictureCache() {
  ::munmap(const_cast<uint8_t*>(pixels_), file_.layout.total_bytes);
  ::munmap(head_, file_.layout.pixels_offset);
  // The lock can be made exclusive only if nobody else holds it: then this was the last user.
  if (!file_.is_kept && ::flock(file_.descriptor, LOCK_EX | LOCK_NB) == 0) {
    struct stat mine {};
    struct stat named {};
    if (::fstat(file_.descriptor, &mine) == 0 && ::stat(file_.path.c_str(), &named) == 0 &&
        mine.st_dev == named.st_dev && mine.st_ino == named.st_ino) {
      ::unlink(file_.path.c_str());
    }
  }
  ::close(file_.descriptor);
}

EntryState PictureCache::state(size_t entry) const {
  return static_cast<EntryState>(shared_state(head_, entry).load(std::memory_order_acquire));
}

void PictureCache::set_state(size_t entry, EntryState state) {
  shared_state(head_, entry).store(static_cast<uint32_t>(state), std::memory_order_release);
}

bool PictureCache::claim(size_t entry) {
  auto expected = static_cast<uint32_t>(EntryState::absent);
  return shared_state(head_, entry)
      .compare_exchange_strong(expected, static_cast<uint32_t>(EntryState::claimed),
                               std::memory_order_acq_rel);
}

cv::Mat PictureCache::find(int picture_index) const {
  const auto entry = static_cast<size_t>(picture_index);
  const CacheEntry& place = file_.layout.entries.at(entry);
  if (state(entry) != EntryState::ready) {
    return {};
  }
  // A picture cannot be made of constant memory; a write would end the program, the mapping being read-only.
  return {static_cast<int>(place.height_px), static_cast<int>(place.width_px), CV_8UC3,
          const_cast<uint8_t*>(pixels_ + place.offset)};
}

// Written as to a file, not through the mapping: on a full disk that is an error and not a signal.
bool PictureCache::write_pixels(size_t entry, const cv::Mat& picture) {
  const size_t row_bytes = static_cast<size_t>(picture.cols) * picture.elemSize();
  uint64_t offset = file_.layout.entries[entry].offset;
  if (picture.isContinuous()) {
    return write_at(file_.descriptor, offset, picture.data, row_bytes * static_cast<size_t>(picture.rows));
  }
  for (int y = 0; y < picture.rows; ++y, offset += row_bytes) {
    if (!write_at(file_.descriptor, offset, picture.ptr<uint8_t>(y), row_bytes)) {
      return false;
    }
  }
  return true;
}

void PictureCache::store(int picture_index, const Picture& picture, cv::Size native, const cv::Mat& resized) {
  const auto entry = static_cast<size_t>(picture_index);
  const CacheEntry& place = file_.layout.entries.at(entry);
  if (is_full_ || state(entry) != EntryState::absent || !claim(entry)) {
    return;
  }
  const bool is_as_indexed = native == cv::Size(picture.width_px, picture.height_px) &&
                             resized.type() == CV_8UC3 && resized.rows == static_cast<int>(place.height_px) &&
                             resized.cols == static_cast<int>(place.width_px);
  if (!is_as_indexed) {
    set_state(entry, EntryState::refused);
    return;
  }
  if (write_pixels(entry, resized)) {
    set_state(entry, EntryState::ready);
    return;
  }
  const int error_number = errno;
  set_state(entry, EntryState::absent);
  if (!is_full_.exchange(true)) {
    log::warning(cat("--cache: ", file_.path.string(), ": ", errno_text(error_number), "; ", ready_count(),
                     " of ", file_.layout.entries.size(),
                     " pictures are in it, the others are decoded each time"));
  }
}

PictureCache::Filling PictureCache::fill(const Index& index, int local_rank, int local_size, int threads,
                                         const std::stop_token& stop, const Progress& progress) {
  check(index.pictures.size() == file_.layout.entries.size(),
        "fill: the index that the cache was opened for");
  check(local_size > 0 && local_rank >= 0 && local_rank < local_size, "fill: a rank of the node");
  std::vector<int> mine;
  for (size_t i = static_cast<size_t>(local_rank); i < index.pictures.size();
       i += static_cast<size_t>(local_size)) {
    mine.push_back(static_cast<int>(i));
  }
  Filling filling;
  std::mutex mutex;  // of filling, progress and error
  std::exception_ptr error;
  std::atomic<size_t> next = 0;
  int64_t done = 0;
  const auto work = [&] {
    for (size_t n = next++; n < mine.size() && !stop.stop_requested() && !is_full_; n = next++) {
      const int i = mine[n];
      const Picture& picture = index.pictures[static_cast<size_t>(i)];
      const bool was_there = state(static_cast<size_t>(i)) != EntryState::absent;
      bool is_readable = true;
      if (!was_there) {
        const DecodeResult decoded = decode_picture(picture.path);
        is_readable = decoded.picture.has_value();
        if (is_readable) {
          store(i, picture, decoded.picture->size(),
                resized_to_side(*decoded.picture, file_.side_px, file_.for_training));
        } else if (claim(static_cast<size_t>(i))) {
          set_state(static_cast<size_t>(i), EntryState::refused);
        }
      }
      const bool is_stored = !was_there && state(static_cast<size_t>(i)) == EntryState::ready;
      const std::lock_guard lock(mutex);
      filling.there_before += was_there ? 1 : 0;
      filling.stored += is_stored ? 1 : 0;
      filling.unreadable += is_readable ? 0 : 1;
      if (progress) {
        progress(++done, static_cast<int64_t>(mine.size()));
      }
    }
  };
  const auto guarded = [&] {
    try {
      work();
    } catch (...) {  // the head of a thread: handed to the caller
      const std::lock_guard lock(mutex);
      error = error ? error : std::current_exception();
      next = mine.size();
    }
  };
  {
    std::vector<std::jthread> helpers;
    for (size_t i = 1; i < std::min(mine.size(), static_cast<size_t>(std::max(1, threads))); ++i) {
      helpers.emplace_back(guarded);
    }
    guarded();
  }
  if (error) {
    std::rethrow_exception(error);
  }
  filling.is_full = is_full_;
  return filling;
}

int64_t PictureCache::ready_count() const {
  int64_t count = 0;
  for (size_t i = 0; i < file_.layout.entries.size(); ++i) {
    count += state(i) == EntryState::ready ? 1 : 0;
  }
  return count;
}

int64_t PictureCache::missing_bytes() const {
  int64_t bytes = 0;
  for (size_t i = 0; i < file_.layout.entries.size(); ++i) {
    const CacheEntry& place = file_.layout.entries[i];
    bytes += state(i) == EntryState::ready ? 0 : int64_t{3} * place.height_px * place.width_px;
  }
  return bytes;
}

}  // namespace yolodist::data
