// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

namespace yolodist::protocol {

// The shared memory of a launcher and its worker: one memfd, created empty by the launcher, grown by the
// worker.
//   [0, staging_bytes)        staging: copies of small host buffers, cut into slots of staging_slot_bytes
//   [staging_bytes, …)        buckets: flat gradient buckets, reduced in place
// Each growth (message Resize) adds an extent that both sides map for itself, so that nothing ever moves
// while a collective runs on it. A collective's memory lies within one extent.
inline constexpr int64_t staging_bytes = int64_t{4} << 20;
inline constexpr int64_t staging_slot_bytes = int64_t{256} << 10;
inline constexpr int64_t staging_slot_count = staging_bytes / staging_slot_bytes;

// Buckets and slots begin at multiples of this (cache line, AVX-512 vector).
inline constexpr int64_t shared_alignment = 64;

// Extents are multiples of this; a multiple of every page size in use.
inline constexpr int64_t extent_alignment = int64_t{64} << 10;

constexpr int64_t aligned_extent(int64_t bytes) {
  return (bytes + extent_alignment - 1) / extent_alignment * extent_alignment;
}

}  // namespace yolodist::protocol
