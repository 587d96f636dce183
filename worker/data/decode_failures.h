// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>

#include "worker/data/index.h"

namespace yolodist::data {

// Pictures that the scan took for good and that could not be decoded later. Each is handed to the callback
// once, however many mosaics it is met in. Where it is not a picture but a whole folder that has gone, that
// is told apart, see lost(). Thread-safe; the callback is called by decoding threads, one at a time.
class DecodeFailures {
 public:
  // So many different pictures of a folder in a row, none of it read in between: its fault, not theirs.
  static constexpr size_t failures_in_a_row = 8;

  using Callback = std::function<void(const Picture&, const std::string& reason)>;
  explicit DecodeFailures(Callback callback) : callback_(std::move(callback)) {}

  void report(const Picture& picture, const std::string& reason);
  // A picture was read and decoded.
  void read_well(const Picture& picture);
  // How many different pictures failed, those that failed with their folder not counted.
  int count() const;
  // Which folder has gone and how that shows: it cannot be opened, is empty, or the last failures_in_a_row
  // pictures of it failed. "" while there is none. A picture that fails because its folder cannot be opened
  // or is empty shows here before its grey stand-in is handed out.
  std::string lost() const;

 private:
  const Callback callback_;
  mutable std::mutex mutex_;
  std::set<std::filesystem::path> named_;
  std::map<std::filesystem::path, std::set<std::filesystem::path>> in_a_row_;  // by folder
  std::atomic<bool> has_rows_ = false;
  std::string lost_;
};

}  // namespace yolodist::data
