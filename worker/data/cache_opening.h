// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "worker/data/index.h"
#include "worker/data/picture_cache.h"

namespace yolodist::data {

enum class CacheKind { ram, disk };

struct CacheOptions {
  CacheKind kind = CacheKind::ram;
  std::filesystem::path folder;  // "" = default_cache_folder(kind)
  int side_px = 640;             // the longer side that pictures are kept at
  bool for_training = true;    // the rule of resizing; validation pictures have another and so another cache
  int64_t promised_bytes = 0;  // room that other caches, still to be filled, will take in the same folder
  std::chrono::milliseconds longest_wait{10'000};  // for another process to set the file up
};

// ram: /dev/shm. disk: the first of $SLURM_TMPDIR, $TMPDIR and /tmp that is a folder. Never the data's own.
std::filesystem::path default_cache_folder(CacheKind kind);

// A cache, or one line that says why there is none, with the figures; training then goes on without.
struct CacheOpening {
  std::unique_ptr<PictureCache> cache;
  std::string refusal;
};

// Opens the cache that these pictures have on this node, FOLDER/yolodist-cache-<key>, or makes it. `disk`
// keeps the file for the next run; a file in memory is deleted by its last user. What a crashed run left is
// taken over where it is of the same pictures, and removed where it is in memory and nobody uses it. Refuses
// where the cache and a tenth more would not fit. Never waits longer than it may; throws only what is a
// bug. Call it from one thread.
CacheOpening open_picture_cache(const Index& index, const CacheOptions& options);

}  // namespace yolodist::data
