// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace yolodist::plan {

// Sizes are rounded up to this: by the worker's counting allocator and by plans, as by CUDA's caching
// allocator.
inline constexpr int64_t granule_bytes = 512;
constexpr int64_t rounded(int64_t bytes) {
  return (bytes + granule_bytes - 1) / granule_bytes * granule_bytes;
}

}  // namespace yolodist::plan
