// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/memory/holders.h"

#include <algorithm>

namespace yolodist::memory {
namespace {

constexpr auto relaxed = std::memory_order_relaxed;

void sort_largest_first(std::vector<Holder>& holders) {
  std::stable_sort(holders.begin(), holders.end(),
                   [](const Holder& a, const Holder& b) { return a.bytes > b.bytes; });
}

}  // namespace

void HolderSums::add(Kind kind, int layer, int64_t bytes) {
  const bool has_slot = layer >= 0 && layer < layer_limit;
  const size_t slot = has_slot ? static_cast<size_t>(layer) + 1 : 0;
  sums_[static_cast<size_t>(kind) * slots_a_kind + slot].fetch_add(bytes, relaxed);
}

std::vector<Holder> HolderSums::holders() const {
  std::vector<Holder> found;
  for (int kind = 0; kind < kind_count; ++kind) {
    if (static_cast<Kind>(kind) == Kind::host) {
      continue;
    }
    for (size_t slot = 0; slot < slots_a_kind; ++slot) {
      const int64_t bytes = sums_[static_cast<size_t>(kind) * slots_a_kind + slot].load(relaxed);
      if (bytes > 0) {
        found.push_back({static_cast<Kind>(kind), static_cast<int>(slot) - 1, bytes});
      }
    }
  }
  sort_largest_first(found);
  return found;
}

void AddressedHolders::take(uintptr_t address, int64_t bytes, const Mark& mark) {
  const Holder holder{mark.kind, mark.layer, bytes};
  const std::lock_guard lock(mutex_);
  taken_[address] = holder;
  sums_.add(holder.kind, holder.layer, bytes);
}

void AddressedHolders::give_back(uintptr_t address) {
  const std::lock_guard lock(mutex_);
  const auto found = taken_.find(address);
  if (found != taken_.end()) {
    sums_.add(found->second.kind, found->second.layer, -found->second.bytes);
    taken_.erase(found);
  }
}

std::vector<Holder> merged(std::vector<Holder> holders) {
  std::vector<Holder> sums;
  for (const Holder& holder : holders) {
    const auto same = std::find_if(sums.begin(), sums.end(), [&](const Holder& sum) {
      return sum.kind == holder.kind && sum.layer == holder.layer;
    });
    if (same == sums.end()) {
      sums.push_back(holder);
    } else {
      same->bytes += holder.bytes;
    }
  }
  sort_largest_first(sums);
  return sums;
}

}  // namespace yolodist::memory
