// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <stop_token>

#include <opencv2/core.hpp>

#include "worker/data/cache_layout.h"
#include "worker/data/index.h"

namespace yolodist::data {

// A cache's file: its header and entries are there, and a shared lock marks it as in use. open_picture_cache
// (cache_opening.h) makes it.
struct CacheFile {
  std::filesystem::path path;
  int descriptor = -1;
  CacheLayout layout;
  int side_px = 0;
  bool for_training = true;
  bool is_kept = false;  // stays after its last user; else that one deletes it
};

// Decoded and resized pictures of one split in one file that all ranks of a node map. Any rank fills any
// entry; nobody waits for one: what is not ready is decoded by who wants it. Thread-safe. Must outlive the
// pictures that it hands out.
class PictureCache {
 public:
  // Takes the descriptor over. Throws StorageError when the file cannot be mapped.
  explicit PictureCache(CacheFile file);
  ~PictureCache();
  PictureCache(const PictureCache&) = delete;
  PictureCache& operator=(const PictureCache&) = delete;

  bool is_of(int side_px, bool for_training) const {
    return side_px == file_.side_px && for_training == file_.for_training;
  }
  // The picture where it lies, read-only; empty when it is not there (yet).
  cv::Mat find(int picture_index) const;
  // Leaves a resized picture if nobody has. One whose native size is not the index's (the file was exchanged)
  // is marked and not kept. When the folder is full after all: one warning, and nothing is kept from then on.
  void store(int picture_index, const Picture& picture, cv::Size native, const cv::Mat& resized);

  struct Filling {
    int64_t stored = 0;  // by this call
    int64_t there_before = 0;
    int64_t unreadable = 0;  // named once a sample wants them
    bool is_full = false;    // the folder took no more
  };
  using Progress = std::function<void(int64_t done, int64_t of)>;
  // Decodes the pictures i with i % local_size == local_rank that nobody has stored, in `threads` threads
  // (the caller's is one), until done, stopped or full. Calls of `progress` come one at a time. Others may
  // read and store meanwhile. `index` is the one that the cache was opened for.
  Filling fill(const Index& index, int local_rank, int local_size, int threads,
               const std::stop_token& stop = {}, const Progress& progress = {});

  int64_t total_bytes() const { return static_cast<int64_t>(file_.layout.total_bytes); }
  int64_t ready_count() const;
  // Pixels not there yet: CacheOptions::promised_bytes for a cache opened after this one.
  int64_t missing_bytes() const;
  const std::filesystem::path& path() const { return file_.path; }

 private:
  EntryState state(size_t entry) const;
  void set_state(size_t entry, EntryState state);
  bool claim(size_t entry);
  bool write_pixels(size_t entry, const cv::Mat& picture);

  CacheFile file_;
  uint8_t* head_ = nullptr;          // header and entries, shared, written to
  const uint8_t* pixels_ = nullptr;  // the whole file, read-only
  std::atomic<bool> is_full_ = false;
};

}  // namespace yolodist::data
