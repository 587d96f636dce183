// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/telemetry/ticker.h"

#include <algorithm>
#include <csignal>
#include <utility>

#include "common/base/error.h"
#include "common/base/log.h"

namespace yolodist::telemetry {

Ticker::Ticker(std::chrono::milliseconds interval, std::function<void()> tick)
    : interval_(interval), tick_(std::move(tick)) {
  // Signals are for the main thread.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Ticker::~Ticker() {
  {
    const std::lock_guard lock(mutex_);
    is_ending_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Ticker::run() {
  bool has_complained = false;
  auto next = std::chrono::steady_clock::now();
  std::unique_lock lock(mutex_);
  while (!is_ending_) {
    lock.unlock();
    try {
      tick_();
      has_complained = false;
    } catch (const Error& error) {
      if (!std::exchange(has_complained, true)) {
        log::warning(error.one_line());
      }
    }
    next = std::max(next + interval_, std::chrono::steady_clock::now());
    lock.lock();
    changed_.wait_until(lock, next, [this] { return is_ending_; });
  }
}

}  // namespace yolodist::telemetry
