// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "worker/memory/mark.h"

namespace yolodist::memory {

// Live bytes of one kind that one layer took.
struct Holder {
  Kind kind = Kind::other;
  int layer = -1;  // -1 = none, or beyond 1023
  int64_t bytes = 0;
};

// Sums of live bytes by what they are for and which layer took them. Thread-safe, without a lock.
class HolderSums {
 public:
  void add(Kind kind, int layer, int64_t bytes);  // negative: given back
  // Largest first; without Kind::host.
  std::vector<Holder> holders() const;

 private:
  static constexpr int layer_limit = 1024;
  static constexpr size_t slots_a_kind = layer_limit + 1;  // slot 0: no layer
  std::array<std::atomic<int64_t>, slots_a_kind * kind_count> sums_{};
};

// The same for memory of which a release tells only the address. Thread-safe; calls nobody while it holds its
// lock.
class AddressedHolders {
 public:
  void take(uintptr_t address, int64_t bytes, const Mark& mark);
  // Does nothing where it is not known: taken before anybody watched.
  void give_back(uintptr_t address);
  std::vector<Holder> holders() const { return sums_.holders(); }

 private:
  std::mutex mutex_;
  std::unordered_map<uintptr_t, Holder> taken_;
  HolderSums sums_;
};

// Largest first; those of one kind and layer become one.
std::vector<Holder> merged(std::vector<Holder> holders);

}  // namespace yolodist::memory
