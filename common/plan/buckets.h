// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace yolodist::plan {

// A flat piece of memory that holds the gradients of some parameters.
struct Bucket {
  std::vector<size_t> parameters;  // indices, in the order in which they lie in it
  int64_t element_count = 0;       // padded to whole cache lines for every rank
};

// Cuts gradients into buckets from the last parameter to the first, since backward reaches the last one
// first. The planner counts by it, and the reducer lays out by it.
std::vector<Bucket> buckets_of(std::span<const int64_t> element_counts, int64_t element_bytes, int world_size,
                               size_t bucket_bytes);

// Large enough to amortise a collective, small enough that the first starts early in backward: an eighth of
// the gradients, between 1 and 25 MiB (the upper cap is torch DistributedDataParallel's default).
size_t default_bucket_bytes(size_t gradient_bytes);

}  // namespace yolodist::plan
