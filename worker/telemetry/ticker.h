// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

namespace yolodist::telemetry {

// Calls `tick` at once and then every `interval`, on a thread of its own, until it goes out of scope; the
// destructor waits for a call under way. A call that takes longer than the interval delays the next ones;
// none are made up for. What `tick` throws (Error) is reported as a warning the first time, and again only
// after a call that went well.
class Ticker {
 public:
  Ticker(std::chrono::milliseconds interval, std::function<void()> tick);
  ~Ticker();
  Ticker(const Ticker&) = delete;
  Ticker& operator=(const Ticker&) = delete;

 private:
  void run();

  const std::chrono::milliseconds interval_;
  const std::function<void()> tick_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool is_ending_ = false;
  std::thread thread_;
};

}  // namespace yolodist::telemetry
