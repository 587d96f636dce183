// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/data/cache_opening.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/deadline.h"
#include "common/base/error.h"
#include "common/base/text.h"
#include "worker/data/cache_file.h"
#include "worker/data/free_room.h"

namespace yolodist::data {
namespace {

namespace fs = std::filesystem;

constexpr auto pause = std::chrono::milliseconds(20);

// One attempt after another to become a user of the file.
class Opener {
 public:
  Opener(const Index& index, const CacheOptions& options)
      : index_(index), options_(options), is_kept_(options.kind == CacheKind::disk) {
    folder_ = options.folder.empty() ? default_cache_folder(options.kind) : options.folder;
    std::error_code ignored;  // opening the file tells
    fs::create_directories(folder_, ignored);
    layout_ = cache_layout(index, options.side_px);
    const std::string key = cache_key(index, options.side_px, options.for_training, is_kept_);
    path_ = folder_ / cat(cache_name_start, key);
    header_ = cache_header(key, layout_, is_kept_);
  }

  CacheOpening opened() {
    CacheOpening opening;
    try {
      const Deadline deadline = Deadline::after(options_.longest_wait);
      int descriptor = -1;
      while ((descriptor = attempt()) < 0) {
        if (deadline.has_passed()) {
          throw StorageError(cat(path_.string(), ": another process keeps it locked"), advice());
        }
        std::this_thread::sleep_for(pause);
      }
      opening.cache = std::make_unique<PictureCache>(CacheFile{
          path_, descriptor, std::move(layout_), options_.side_px, options_.for_training, is_kept_});
    } catch (const StorageError& error) {
      opening.refusal = cat("--cache ", is_kept_ ? "disk" : "ram", ": ", error.what(),
                            ". Going on without a cache", error.hint().empty() ? "" : "; " + error.hint());
    }
    return opening;
  }

 private:
  [[noreturn]] void refuse(const std::string& what) const {
    throw StorageError(cat(path_.string(), ": ", what), advice());
  }

  const char* advice() const {
    return is_kept_ ? "another folder can be given with --cache-dir"
                    : "--cache disk keeps the pictures on a local disk";
  }

  // A descriptor with a shared lock on a good file; -1 when it is worth another attempt.
  int attempt() {
    Descriptor file(::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600));
    struct stat status {};
    if (file.get() < 0 || ::fstat(file.get(), &status) != 0) {
      refuse(errno_text(errno));
    }
    if (!S_ISREG(status.st_mode) || status.st_uid != ::geteuid()) {
      refuse("is not a file of ours");
    }
    if (is_locked(file.get(), LOCK_EX)) {
      if (!is_named(file.get())) {
        return -1;
      }
      set_up(file.get());
    }
    // Between the two locks another user may come, which is welcome, or go and delete the file.
    if (!is_locked(file.get(), LOCK_SH) || !is_named(file.get()) ||
        !cache_entries(file.get(), header_, layout_)) {
      return -1;
    }
    return file.release();
  }

  bool is_locked(int descriptor, int kind) const {
    if (::flock(descriptor, kind | LOCK_NB) == 0) {
      return true;
    }
    if (errno != EWOULDBLOCK && errno != EINTR) {
      refuse(cat("cannot be locked: ", errno_text(errno)));
    }
    return false;
  }

  // Whether the path still leads to this file.
  bool is_named(int descriptor) const {
    struct stat mine {};
    struct stat named {};
    return ::fstat(descriptor, &mine) == 0 && ::stat(path_.c_str(), &named) == 0 &&
           mine.st_dev == named.st_dev && mine.st_ino == named.st_ino;
  }

  // As the only user.
  void set_up(int descriptor) const {
    std::optional<std::vector<CacheEntry>> entries;
    try {
      entries = cache_entries(descriptor, header_, layout_);
      remove_abandoned_caches(folder_, path_);
      if (!entries && ::ftruncate(descriptor, 0) != 0) {  // what an unusable file takes is room, too
        throw StorageError(errno_text(errno));
      }
      require_room(entries ? *entries : layout_.entries);
      if (entries) {
        free_claimed_entries(descriptor, std::move(*entries));
      } else {
        make_cache(descriptor, header_, layout_);
      }
    } catch (const StorageError& error) {
      if (!entries || !is_kept_) {
        ::unlink(path_.c_str());
      }
      if (error.hint().empty()) {
        refuse(error.what());
      }
      throw;
    }
  }

  void require_room(const std::vector<CacheEntry>& entries) const {
    int64_t missing = 0;
    for (const CacheEntry& entry : entries) {
      const bool is_there = entry.state == static_cast<uint32_t>(EntryState::ready);
      missing += is_there ? 0 : int64_t{3} * entry.height_px * entry.width_px;
    }
    const FreeRoom room = free_room(folder_);
    const std::string pictures =
        cat(index_.pictures.size(), options_.for_training ? " training" : " validation", " pictures at ",
            options_.side_px, " px");
    if (missing + missing / 10 + options_.promised_bytes > room.bytes) {
      const std::string others =
          options_.promised_bytes > 0
              ? cat(" beside ", to_string(Bytes{options_.promised_bytes}), " for others")
              : "";
      throw StorageError(cat(pictures, " need ", to_string(Bytes{missing}), " and a tenth more to spare",
                             others, ", ", room.is_memory_limit ? "memory" : folder_.string(), " has ",
                             to_string(Bytes{room.bytes}), " free"),
                         advice());
    }
    struct rlimit limit {};
    if (::getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
        limit.rlim_cur < layout_.total_bytes) {
      throw StorageError(
          cat(pictures, " need ", to_string(Bytes{static_cast<int64_t>(layout_.total_bytes)}),
              ", files may have ", to_string(Bytes{static_cast<int64_t>(limit.rlim_cur)}), " (ulimit -f)"),
          "raise that limit");
    }
  }

  const Index& index_;
  const CacheOptions& options_;
  bool is_kept_;
  fs::path folder_, path_;
  CacheLayout layout_;
  CacheHeader header_;
};

}  // namespace

fs::path default_cache_folder(CacheKind kind) {
  if (kind == CacheKind::ram) {
    return "/dev/shm";
  }
  for (const char* name : {"SLURM_TMPDIR", "TMPDIR"}) {
    const char* value = std::getenv(name);
    std::error_code ignored;
    if (value != nullptr && *value != '\0' && fs::is_directory(value, ignored)) {
      return value;
    }
  }
  return "/tmp";
}

CacheOpening open_picture_cache(const Index& index, const CacheOptions& options) {
  return Opener(index, options).opened();
}

}  // namespace yolodist::data
