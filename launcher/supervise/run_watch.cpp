// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/supervise/run_watch.h"

#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <thread>
#include <utility>

#include "common/base/error.h"
#include "common/base/log.h"

namespace yolodist::supervise {
namespace {

// A look is one system call, on a network file system too.
constexpr std::chrono::seconds interval{1};
constexpr std::chrono::seconds end_patience{5};

// Two jobs that took the run at the same moment may have left each other's name.
void renew(const run::RunDirectory& run, const run::Owner& owner) {
  if (run::read_owner(run) == owner) {
    run::renew_owner(run);
    return;
  }
  try {
    run::write_owner(run, owner);
  } catch (const Error& error) {
    log::warning(error.what());
  }
}

}  // namespace

struct RunWatch::State {
  const run::RunDirectory run;
  const std::string run_token;
  const run::Owner owner;
  std::mutex mutex;
  std::condition_variable changed;
  bool is_ending = false, has_ended = false, stop_was_asked = false, is_taken_over = false;
};

RunWatch::RunWatch(const run::RunDirectory& run, const std::string& run_token, const run::Owner& owner)
    : state_(new State{run, run_token, owner, {}, {}}) {
  std::thread([state = state_] { look(*state); }).detach();
}

RunWatch::~RunWatch() {
  std::unique_lock lock(state_->mutex);
  state_->is_ending = true;
  state_->changed.notify_all();
  state_->changed.wait_for(lock, end_patience, [this] { return state_->has_ended; });
}

bool RunWatch::take_stop() {
  const std::lock_guard lock(state_->mutex);
  return std::exchange(state_->stop_was_asked, false);
}

bool RunWatch::is_taken_over() const {
  const std::lock_guard lock(state_->mutex);
  return state_->is_taken_over;
}

void RunWatch::look(State& state) {
  auto renewed_at = std::chrono::steady_clock::now();
  std::unique_lock lock(state.mutex);
  while (!state.changed.wait_for(lock, interval, [&state] { return state.is_ending; })) {
    lock.unlock();
    std::error_code ignored;
    const bool stop = std::filesystem::remove(state.run.stop_file(), ignored);
    bool is_taken_over = false;
    if (std::chrono::steady_clock::now() - renewed_at >= run::owner_interval) {
      renewed_at = std::chrono::steady_clock::now();
      // A token that cannot be read is a file system's trouble, not another job.
      is_taken_over = run::is_anothers(state.run, state.run_token);
      if (!is_taken_over) {
        renew(state.run, state.owner);
      }
    }
    lock.lock();
    state.stop_was_asked = state.stop_was_asked || stop;
    state.is_taken_over = state.is_taken_over || is_taken_over;
  }
  lock.unlock();
  if (run::still_ours(state.run, state.run_token)) {
    run::remove_owner(state.run);
  }
  lock.lock();
  state.has_ended = true;
  state.changed.notify_all();
}

}  // namespace yolodist::supervise
