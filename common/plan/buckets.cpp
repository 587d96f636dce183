// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/plan/buckets.h"

#include <algorithm>

namespace yolodist::plan {

std::vector<Bucket> buckets_of(std::span<const int64_t> element_counts, int64_t element_bytes, int world_size,
                               size_t bucket_bytes) {
  // Padded so that every rank's part of a reduce-scatter is whole cache lines.
  const int64_t multiple = 64 * world_size / element_bytes;
  std::vector<Bucket> buckets;
  int64_t filled = 0;
  for (size_t i = element_counts.size(); i-- > 0;) {
    const int64_t count = element_counts[i];
    if (buckets.empty() || static_cast<size_t>((filled + count) * element_bytes) > bucket_bytes) {
      buckets.emplace_back();
      filled = 0;
    }
    buckets.back().parameters.push_back(i);
    filled += count;
    buckets.back().element_count = (filled + multiple - 1) / multiple * multiple;
  }
  return buckets;
}

size_t default_bucket_bytes(size_t gradient_bytes) {
  constexpr size_t mebibyte = size_t{1} << 20;
  return std::clamp(gradient_bytes / 8, mebibyte, 25 * mebibyte);
}

}  // namespace yolodist::plan
