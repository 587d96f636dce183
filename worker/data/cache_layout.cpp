// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/data/cache_layout.h"

#include <unistd.h>

#include <array>
#include <filesystem>
#include <string_view>

#include <opencv2/core/version.hpp>

#include "common/base/host_name.h"
#include "common/base/text.h"
#include "worker/data/decode.h"

namespace yolodist::data {
namespace {

constexpr uint64_t pixel_alignment = 64;  // a cache line

uint64_t aligned(uint64_t offset) {
  return (offset + pixel_alignment - 1) / pixel_alignment * pixel_alignment;
}

// 128 bits of two hashes that differ in start and factor. Against accidents, not against malice.
class Digest {
 public:
  void add(std::string_view text) {
    add(static_cast<int64_t>(text.size()));  // so that "ab", "c" is not "a", "bc"
    for (const char c : text) {
      mix(static_cast<uint8_t>(c));
    }
  }
  void add(int64_t number) {
    for (int shift = 0; shift < 64; shift += 8) {
      mix(static_cast<uint8_t>(static_cast<uint64_t>(number) >> shift));
    }
  }
  std::string hex() const {
    return printf_string("%016llx%016llx", static_cast<unsigned long long>(finished(a_)),
                         static_cast<unsigned long long>(finished(b_)));
  }

 private:
  // Source: Fowler, Noll, Vo: FNV-1a; the finalizer is SplitMix64's. The second factor is one of SplitMix64's
  // too.
  void mix(uint8_t byte) {
    a_ = (a_ ^ byte) * 0x100000001B3u;
    b_ = (b_ ^ byte) * 0xBF58476D1CE4E5B9u;
    b_ ^= b_ >> 29;
  }
  static uint64_t finished(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }
  uint64_t a_ = 0xCBF29CE484222325u, b_ = 0x9E3779B97F4A7C15u;
};

}  // namespace

CacheLayout cache_layout(const Index& index, int side_px) {
  CacheLayout layout;
  layout.pixels_offset = aligned(cache_entries_offset + index.pictures.size() * sizeof(CacheEntry));
  uint64_t at = layout.pixels_offset;
  layout.entries.reserve(index.pictures.size());
  for (const Picture& picture : index.pictures) {
    const cv::Size size = side_size(picture.height_px, picture.width_px, side_px);
    CacheEntry entry;
    entry.offset = at;
    entry.height_px = static_cast<uint32_t>(size.height);
    entry.width_px = static_cast<uint32_t>(size.width);
    layout.entries.push_back(entry);
    at = aligned(at + uint64_t{3} * entry.height_px * entry.width_px);
  }
  layout.total_bytes = at;
  return layout;
}

std::string cache_key(const Index& index, int side_px, bool for_training, bool is_kept) {
  Digest digest;
  digest.add(int64_t{cache_version});
  digest.add(std::string_view(CV_VERSION));
  digest.add(std::string_view(host_name()));
  digest.add(static_cast<int64_t>(::geteuid()));
  digest.add(static_cast<int64_t>(side_px));
  digest.add(static_cast<int64_t>(for_training));
  digest.add(static_cast<int64_t>(is_kept));
  for (const Picture& picture : index.pictures) {
    digest.add(std::filesystem::absolute(picture.path).native());
    digest.add(static_cast<int64_t>(picture.file_bytes));
    digest.add(picture.modified_ns);
    digest.add(static_cast<int64_t>(picture.height_px));
    digest.add(static_cast<int64_t>(picture.width_px));
  }
  return digest.hex();
}

}  // namespace yolodist::data
