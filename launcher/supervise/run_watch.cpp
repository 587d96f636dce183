// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/supervise/run_watch.h"

#include <chrono>
#include <csignal>
#include <filesystem>
#include <utility>

#include "common/base/error.h"
#include "common/run/ownership.h"

namespace yolodist::supervise {
namespace {

// A look is one system call, on a network file system too.
constexpr std::chrono::seconds interval{1};

}  // namespace

RunWatch::RunWatch(const run::RunDirectory& run, std::string run_token)
    : run_(run), run_token_(std::move(run_token)), thread_([this] { look(); }) {}

RunWatch::~RunWatch() {
  {
    const std::lock_guard lock(mutex_);
    is_ending_ = true;
  }
  ends_.notify_all();
  thread_.join();
  if (!is_taken_over_) {
    run::remove_owner(run_);
  }
}

bool RunWatch::take_stop() {
  const std::lock_guard lock(mutex_);
  return std::exchange(stop_was_asked_, false);
}

bool RunWatch::is_taken_over() const {
  const std::lock_guard lock(mutex_);
  return is_taken_over_;
}

void RunWatch::look() {
  auto renewed_at = std::chrono::steady_clock::now();
  std::unique_lock lock(mutex_);
  while (!ends_.wait_for(lock, interval, [this] { return is_ending_; })) {
    lock.unlock();
    std::error_code ignored;
    const bool stop = std::filesystem::remove(run_.stop_file(), ignored);
    bool is_taken_over = false;
    if (std::chrono::steady_clock::now() - renewed_at >= run::owner_interval) {
      renewed_at = std::chrono::steady_clock::now();
      // A token that cannot be read is a file system's trouble, not another job.
      is_taken_over = run::is_anothers(run_, run_token_);
      if (!is_taken_over) {
        run::renew_owner(run_);
      }
    }
    lock.lock();
    stop_was_asked_ = stop_was_asked_ || stop;
    is_taken_over_ = is_taken_over_ || is_taken_over;
  }
}

}  // namespace yolodist::supervise
