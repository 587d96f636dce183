// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "worker/data/sample.h"

namespace yolodist::data {

struct LoaderOptions {
  int threads = 1;                            // 0: samples are made in next()
  int prefetch_samples = 16;                  // made or being made ahead of next(), at most
  size_t prefetch_bytes = size_t{512} << 20;  // pixels of those, at most; one sample is always allowed
};

// Makes samples ahead in threads of its own and hands them out in the order of the work list. Waits without
// using the processor. next() is for one thread; the rest is internal.
class Loader {
 public:
  // `make` turns one entry of the work list (say a position in the epoch's order) into its sample; it is
  // called by several threads at once. `start`: how many entries of `work` to skip, for continuing in
  // mid-epoch.
  using Make = std::function<Sample(int64_t position)>;
  Loader(Make make, std::vector<int64_t> work, const LoaderOptions& options, size_t start = 0);
  // Waits only for the samples being made, one a thread.
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  // The next sample; nothing after the last. What `make` threw for it is thrown here; the call after that
  // goes on with the next entry.
  std::optional<Sample> next();
  // Entries of the work list handed out so far, skipped ones included: the `start` of a loader that goes on
  // here.
  size_t taken() const;

 private:
  struct Made {
    Sample sample;
    std::exception_ptr error;
  };
  void run();
  bool may_begin() const;
  Made made_at(size_t entry) const;

  Make make_;
  std::vector<int64_t> work_;
  LoaderOptions options_;
  mutable std::mutex mutex_;
  std::condition_variable is_made_, has_room_;
  std::map<size_t, Made> made_;  // by entry, not yet handed out
  size_t taken_ = 0;             // entries handed out
  size_t begun_ = 0;             // entries that a thread has begun or finished
  size_t made_bytes_ = 0;        // pixels in made_
  size_t in_making_ = 0;         // entries begun and not finished
  size_t largest_bytes_ = 0;     // of any sample so far: what one in the making is counted as
  bool is_stopping_ = false;
  std::vector<std::jthread> threads_;
};

}  // namespace yolodist::data
