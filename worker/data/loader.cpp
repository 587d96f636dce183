// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/data/loader.h"

#include <algorithm>
#include <utility>

#include "worker/data/decode.h"

namespace yolodist::data {

Loader::Loader(Make make, std::vector<int64_t> work, const LoaderOptions& options, size_t start)
    : make_(std::move(make)), work_(std::move(work)), options_(options) {
  prepare_opencv();
  taken_ = begun_ = std::min(start, work_.size());
  options_.prefetch_samples = std::max(1, options_.prefetch_samples);
  const size_t useful = std::min(work_.size() - taken_, static_cast<size_t>(options_.prefetch_samples));
  const size_t count = std::min(useful, static_cast<size_t>(std::max(0, options_.threads)));
  for (size_t i = 0; i < count; ++i) {
    threads_.emplace_back([this] { run(); });
  }
}

Loader::~Loader() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
  }
  has_room_.notify_all();
  threads_.clear();  // joins
}

Loader::Made Loader::made_at(size_t entry) const {
  Made made;
  try {
    made.sample = make_(work_[entry]);
  } catch (...) {  // the head of a thread: next() throws it on
    made.error = std::current_exception();
  }
  return made;
}

// With the mutex held: whether the next entry keeps within the bounds.
bool Loader::may_begin() const {
  if (begun_ == taken_) {
    return true;  // the one that next() waits for
  }
  if (largest_bytes_ == 0) {
    return in_making_ == 0;  // the first one shows how large they are
  }
  return begun_ - taken_ < static_cast<size_t>(options_.prefetch_samples) &&
         made_bytes_ + (in_making_ + 1) * largest_bytes_ <= options_.prefetch_bytes;
}

void Loader::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    has_room_.wait(lock, [this] { return is_stopping_ || begun_ == work_.size() || may_begin(); });
    if (is_stopping_ || begun_ == work_.size()) {
      return;
    }
    const size_t entry = begun_++;
    ++in_making_;
    lock.unlock();
    Made made = made_at(entry);
    lock.lock();
    --in_making_;
    made_bytes_ += made.sample.pixels.size();
    largest_bytes_ = std::max(largest_bytes_, made.sample.pixels.size());
    made_.emplace(entry, std::move(made));
    is_made_.notify_one();
    // The others decide anew: at the last entry they end, and a small sample may leave room that was held for
    // it.
    has_room_.notify_all();
  }
}

std::optional<Sample> Loader::next() {
  std::unique_lock lock(mutex_);
  if (taken_ == work_.size()) {
    return std::nullopt;
  }
  Made made;
  if (threads_.empty()) {
    made = made_at(taken_);
    begun_ = taken_ + 1;
  } else {
    is_made_.wait(lock, [this] { return made_.contains(taken_); });
    made = std::move(made_.extract(taken_).mapped());
    made_bytes_ -= made.sample.pixels.size();
  }
  ++taken_;
  lock.unlock();
  has_room_.notify_all();
  if (made.error) {
    std::rethrow_exception(made.error);
  }
  return std::move(made.sample);
}

size_t Loader::taken() const {
  const std::lock_guard lock(mutex_);
  return taken_;
}

}  // namespace yolodist::data
