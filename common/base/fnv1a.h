// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace yolodist {

inline constexpr uint64_t fnv1a_start = 0xcbf29ce484222325;

// FNV-1a, 64 bits: tells contents apart, against accidents and not against anybody. `hash` is what it has been
// so far. Source: Fowler, Noll, Vo.
inline uint64_t fnv1a(std::span<const std::byte> bytes, uint64_t hash = fnv1a_start) {
  for (const std::byte byte : bytes) {
    hash = (hash ^ static_cast<uint64_t>(byte)) * 0x100000001b3;
  }
  return hash;
}

}  // namespace yolodist
