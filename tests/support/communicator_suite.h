// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <memory>
#include <ostream>
#include <span>
#include <string>
#include <vector>

#include "common/base/error.h"
#include "common/base/text.h"
#include "common/protocol/shared_memory.h"
#include "worker/comm/communicator.h"

// What every communicator has to do, whatever it is made of: all ranks run it, on threads, on processes or
// under mpirun. Throws InternalError saying what is not so.
namespace yolodist::comm {

inline Deadline suite_deadline() {
  return Deadline::after(std::chrono::seconds(30));
}

// Sums over ranks of (i + 1) * (r + 1), in chunks and in place.
template <typename T>
inline void fill(std::span<T> values, int rank) {
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<T>(i % 1000 + 1) * static_cast<T>(rank + 1);
  }
}

template <typename T>
inline void expect_total(std::span<const T> values, int size, const std::string& what) {
  for (size_t i = 0; i < values.size(); ++i) {
    const T expected = static_cast<T>(i % 1000 + 1) * static_cast<T>(size * (size + 1) / 2);
    if (values[i] != expected) {
      throw InternalError(cat(what, ": element ", i, " is ", values[i], ", should be ", expected));
    }
  }
}

template <typename T>
inline void reduce_copied(Communicator& c, Dtype dtype) {
  // One, a whole slot, one more, and more than the staging area together.
  const size_t slot = static_cast<size_t>(protocol::staging_slot_bytes) / sizeof(T);
  for (const size_t count :
       {size_t{0}, size_t{1}, size_t{3}, size_t{1000}, slot, slot + 1, size_t{1000003}}) {
    std::vector<T> values(count);
    fill<T>(values, c.rank());
    c.all_reduce(values.data(), count, dtype, Reduction::sum)->wait(suite_deadline());
    expect_total<T>(values, c.world_size(), cat("copied all-reduce of ", count));
  }
}

inline void reduce_in_place(Communicator& c) {
  constexpr size_t bucket_count = 8, floats = 100003, stride = (floats * sizeof(float) + 63) / 64 * 64;
  const std::span<std::byte> memory = c.allocate_shared(bucket_count * stride);
  check(reinterpret_cast<uintptr_t>(memory.data()) % 64 == 0, "shared memory is aligned");
  std::vector<std::unique_ptr<Work>> works;
  std::vector<std::span<float>> buckets;
  for (size_t b = 0; b < bucket_count; ++b) {
    buckets.emplace_back(reinterpret_cast<float*>(memory.data() + b * stride), floats);
    fill<float>(buckets.back(), c.rank());
    works.push_back(c.all_reduce(buckets.back().data(), floats, Dtype::f32, Reduction::sum));
    int64_t votes = 1;  // the other channel goes on meanwhile
    all_reduce_sum(c, std::span(&votes, 1), suite_deadline());
    check(votes == c.world_size(), "small reductions work beside large ones");
  }
  for (size_t b = bucket_count; b-- > 0;) {
    works[b]->wait(suite_deadline());
    check(works[b]->is_done(), "what was waited for is done");
    expect_total<float>(buckets[b], c.world_size(), cat("bucket ", b));
  }
  std::fill(buckets[0].begin(), buckets[0].end(), static_cast<float>(c.rank()));
  c.broadcast(buckets[0].data(), floats * sizeof(float), c.world_size() - 1)->wait(suite_deadline());
  check(buckets[0][floats - 1] == static_cast<float>(c.world_size() - 1), "broadcast in shared memory");
  check(c.all_reduce_count() > static_cast<int64_t>(bucket_count), "reductions are counted");
}

inline void gather_and_broadcast(Communicator& c) {
  const auto ranks = static_cast<size_t>(c.world_size());
  for (const size_t bytes : {size_t{0}, size_t{1}, size_t{7}, size_t{100000}, size_t{3000001}}) {
    const std::vector<unsigned char> mine(bytes, static_cast<unsigned char>(c.rank() + 1));
    std::vector<unsigned char> all(bytes * ranks);
    c.all_gather(mine.data(), bytes, all.data())->wait(suite_deadline());
    for (size_t i = 0; i < all.size(); ++i) {
      if (all[i] != i / bytes + 1) {
        throw InternalError(cat("gathered byte ", i, " of ", bytes, " a rank"));
      }
    }
  }
  const std::string mine(static_cast<size_t>(c.rank()) * 5, static_cast<char>('a' + c.rank()));
  const std::vector<std::string> texts = all_gather_strings(c, mine, suite_deadline());
  for (size_t r = 0; r < ranks; ++r) {
    check(texts[r] == std::string(r * 5, static_cast<char>('a' + r)),
          "strings of different length are gathered");
  }
  for (int root = 0; root < c.world_size(); ++root) {
    std::vector<int> values(1500000, c.rank() == root ? root + 7 : -1);
    c.broadcast(values.data(), values.size() * sizeof(int), root)->wait(suite_deadline());
    check(values.front() == root + 7 && values.back() == root + 7, "broadcast from every rank");
  }
}

inline void many_at_once(Communicator& c) {
  std::vector<std::vector<double>> values(60, std::vector<double>(20000));
  std::vector<std::unique_ptr<Work>> works;
  for (std::vector<double>& v : values) {
    fill<double>(v, c.rank());
    works.push_back(c.all_reduce(v.data(), v.size(), Dtype::f64, Reduction::sum));
  }
  for (size_t i = 0; i < works.size(); ++i) {
    works[i]->wait(suite_deadline());
    expect_total<double>(values[i], c.world_size(), cat("reduction ", i, " of many"));
  }
  std::vector<int64_t> extremes = {c.rank(), -c.rank()};
  all_reduce_max(c, extremes, suite_deadline());
  check(extremes[0] == c.world_size() - 1 && extremes[1] == 0, "maximum");
}

// The same bits everywhere, whatever the order in which a sum was made.
inline void same_bits(Communicator& c) {
  std::vector<double> values(5000);
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = std::sin(static_cast<double>(i) * 1.7 + c.rank()) * std::pow(10.0, c.rank() * 3);
  }
  all_reduce_sum(c, std::span(values), suite_deadline());
  const size_t bytes = values.size() * sizeof(double);
  std::vector<char> all(bytes * static_cast<size_t>(c.world_size()));
  c.all_gather(values.data(), bytes, all.data())->wait(suite_deadline());
  for (int r = 0; r < c.world_size(); ++r) {
    check(std::memcmp(all.data() + static_cast<size_t>(r) * bytes, values.data(), bytes) == 0,
          "all ranks get the same bits");
  }
}

// Piece r of the sums for rank r: also in place, and longer than a slot of the host's staging area.
inline void reduce_and_scatter(Communicator& c) {
  const auto ranks = static_cast<size_t>(c.world_size()), own = static_cast<size_t>(c.rank());
  for (const size_t count : {size_t{0}, size_t{1}, size_t{5}, size_t{100003}}) {
    std::vector<double> values(count * ranks), mine(count, -1.0);
    fill<double>(values, c.rank());
    const std::vector<double> before = values;
    c.reduce_scatter(values.data(), mine.data(), count, Dtype::f64, Reduction::sum)->wait(suite_deadline());
    check(values == before, "a reduce-scatter leaves what it is given");
    std::vector<double> whole(count * ranks);
    fill<double>(whole, 0);
    for (size_t i = 0; i < count; ++i) {
      const double factor = static_cast<double>(c.world_size() * (c.world_size() + 1)) / 2;
      check(mine[i] == whole[own * count + i] * factor, "each rank gets its piece");
    }
    c.reduce_scatter(values.data(), values.data() + own * count, count, Dtype::f64, Reduction::max)
        ->wait(suite_deadline());
    for (size_t i = 0; i < count; ++i) {
      check(values[own * count + i] == whole[own * count + i] * c.world_size(), "scattered in place");
    }
  }
}

inline void count_and_order(Communicator& c) {
  std::vector<float> sum = {1.5f};
  std::vector<double> least = {static_cast<double>(-c.rank())};
  const int64_t before = c.all_reduce_count();
  const auto a = c.all_reduce(sum.data(), 1, Dtype::f32, Reduction::sum);
  const auto b = c.all_reduce(least.data(), 1, Dtype::f64, Reduction::min);
  b->wait(suite_deadline());
  a->wait(suite_deadline());
  a->wait(suite_deadline());
  check(a->is_done() && b->is_done(), "what was waited for is done");
  check(sum[0] == 1.5f * static_cast<float>(c.world_size()) && least[0] == 1.0 - c.world_size(),
        "waits in any order");
  check(c.all_reduce_count() == before + 2, "reductions are counted");
}

struct CommunicatorCase {
  const char* name;
  void (*run)(Communicator&);
};

// For GoogleTest.
inline void PrintTo(const CommunicatorCase& one, std::ostream* stream) {
  *stream << one.name;
}

// The shared memory is given once a communicator, so ReducesInPlace needs one that has not run it.
inline const std::vector<CommunicatorCase>& communicator_cases() {
  static const std::vector<CommunicatorCase> cases = {
      {"ReducesDoubles", [](Communicator& c) { reduce_copied<double>(c, Dtype::f64); }},
      {"ReducesFloats", [](Communicator& c) { reduce_copied<float>(c, Dtype::f32); }},
      {"ReducesIntegers", [](Communicator& c) { reduce_copied<int64_t>(c, Dtype::i64); }},
      {"ReducesInPlace", reduce_in_place},
      {"GathersAndBroadcasts", gather_and_broadcast},
      {"ReducesAndScatters", reduce_and_scatter},
      {"KeepsManyApart", many_at_once},
      {"GivesTheSameBits", same_bits},
      {"CountsAndWaitsInAnyOrder", count_and_order},
  };
  return cases;
}

}  // namespace yolodist::comm
