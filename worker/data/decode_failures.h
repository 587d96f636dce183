// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <mutex>
#include <set>
#include <string>

#include "worker/data/index.h"

namespace yolodist::data {

// Pictures that the scan took for good and that could not be decoded later. Each is handed to the callback
// once, however many mosaics it is met in. Thread-safe; the callback is called by decoding threads, one at a
// time.
class DecodeFailures {
 public:
  using Callback = std::function<void(const Picture&, const std::string& reason)>;
  explicit DecodeFailures(Callback callback) : callback_(std::move(callback)) {}

  void report(int picture_index, const Picture& picture, const std::string& reason) {
    const std::lock_guard lock(mutex_);
    if (named_.insert(picture_index).second && callback_) {
      callback_(picture, reason);
    }
  }
  int count() const {
    const std::lock_guard lock(mutex_);
    return static_cast<int>(named_.size());
  }

 private:
  Callback callback_;
  mutable std::mutex mutex_;
  std::set<int> named_;
};

}  // namespace yolodist::data
