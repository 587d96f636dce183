// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/device/host.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <iterator>

#include "common/base/error.h"
#include "common/base/text.h"

namespace yolodist::device {
namespace {

// Masks are asked for with growing sizes: the kernel refuses one that is smaller than its own.
constexpr int smallest_mask_cores = 1024;
constexpr int largest_mask_cores = 1 << 20;

struct Mask {
  explicit Mask(int core_count)
      : bytes(CPU_ALLOC_SIZE(static_cast<size_t>(core_count))), set(CPU_ALLOC(core_count)) {
    check(set != nullptr, "a core mask can be allocated");
    CPU_ZERO_S(bytes, set);
  }
  ~Mask() { CPU_FREE(set); }
  Mask(const Mask&) = delete;
  Mask& operator=(const Mask&) = delete;
  size_t bytes;
  cpu_set_t* set;
};

}  // namespace

Bytes host_memory() {
  return {static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGE_SIZE)};
}

std::optional<Cores> allowed_cores_of(int pid) {
  for (int core_count = smallest_mask_cores; core_count <= largest_mask_cores; core_count *= 2) {
    const Mask mask(core_count);
    if (sched_getaffinity(pid, mask.bytes, mask.set) != 0) {
      if (errno == EINVAL) {
        continue;
      }
      return std::nullopt;
    }
    Cores cores;
    for (int core = 0; core < core_count; ++core) {
      if (CPU_ISSET_S(static_cast<size_t>(core), mask.bytes, mask.set)) {
        cores.push_back(core);
      }
    }
    return cores;
  }
  return std::nullopt;
}

Cores allowed_cores() {
  std::optional<Cores> cores = allowed_cores_of(0);
  check(cores.has_value() && !cores->empty(), "the kernel tells the cores of this process");
  return *std::move(cores);
}

bool set_allowed_cores(const Cores& cores) {
  if (cores.empty()) {
    return false;
  }
  const Mask mask(std::max(smallest_mask_cores, cores.back() + 1));
  for (const int core : cores) {
    CPU_SET_S(static_cast<size_t>(core), mask.bytes, mask.set);
  }
  return sched_setaffinity(0, mask.bytes, mask.set) == 0;
}

Cores union_of(const Cores& a, const Cores& b) {
  Cores both;
  std::set_union(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(both));
  return both;
}

bool contains(const Cores& cores, const Cores& subset) {
  return std::includes(cores.begin(), cores.end(), subset.begin(), subset.end());
}

std::string cores_text(const Cores& cores) {
  std::string text;
  for (size_t i = 0; i < cores.size();) {
    size_t last = i;
    while (last + 1 < cores.size() && cores[last + 1] == cores[last] + 1) {
      ++last;
    }
    text += cat(text.empty() ? "" : ",", cores[i]);
    if (last > i) {
      text += cat("-", cores[last]);
    }
    i = last + 1;
  }
  return text;
}

Cores cores_from_text(std::string_view text) {
  Cores cores;
  if (text.empty()) {
    return cores;
  }
  for (const std::string& part : split(text, ',')) {
    int first = 0, last = 0;
    const char* end = part.data() + part.size();
    std::from_chars_result result = std::from_chars(part.data(), end, first);
    last = first;
    if (result.ec == std::errc() && result.ptr != end && *result.ptr == '-') {
      result = std::from_chars(result.ptr + 1, end, last);
    }
    check(result.ec == std::errc() && result.ptr == end && first <= last, "a core list reads like 0-3,8");
    for (int core = first; core <= last; ++core) {
      cores.push_back(core);
    }
  }
  return cores;
}

int threads_a_rank(const Cores& cores, int local_ranks) {
  return std::max(1, static_cast<int>(cores.size()) / std::max(1, local_ranks));
}

}  // namespace yolodist::device
