// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/checkpoint/background_writer.h"

#include <csignal>
#include <utility>

#include "common/base/error.h"
#include "worker/checkpoint/kept_checkpoints.h"

namespace yolodist::checkpoint {

BackgroundWriter::BackgroundWriter(std::filesystem::path last, std::function<void()> before_rename,
                                   std::function<void()> require_ours)
    : last_(std::move(last)),
      before_rename_(std::move(before_rename)),
      require_ours_(std::move(require_ours)) {
  // Signals are for the main thread.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

BackgroundWriter::~BackgroundWriter() {
  {
    const std::lock_guard lock(mutex_);
    is_ending_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void BackgroundWriter::start(std::vector<FileToWrite> files) {
  {
    const std::lock_guard lock(mutex_);
    check(!files_ && !outcome_, "one set of files is written at a time, and its outcome is taken");
    files_ = std::move(files);
  }
  changed_.notify_all();
}

bool BackgroundWriter::is_busy() const {
  const std::lock_guard lock(mutex_);
  return files_.has_value();
}

std::optional<WriteOutcome> BackgroundWriter::take_outcome() {
  const std::lock_guard lock(mutex_);
  return std::exchange(outcome_, std::nullopt);
}

std::optional<WriteOutcome> BackgroundWriter::wait_for_outcome() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !files_; });
  return std::exchange(outcome_, std::nullopt);
}

WriteOutcome BackgroundWriter::write(const std::vector<FileToWrite>& files) const {
  WriteOutcome outcome;
  for (const FileToWrite& wanted : files) {
    try {
      write_making_room(wanted.file, last_, *wanted.checkpoint, before_rename_, outcome.given_up,
                        require_ours_);
      outcome.written.push_back(wanted.file);
    } catch (...) {  // the head of a thread: handed to the owner
      if (!outcome.error) {
        outcome.error = std::current_exception();
        outcome.failed = wanted.file;
      }
      if (wanted.is_needed_by_next) {
        break;
      }
    }
  }
  return outcome;
}

void BackgroundWriter::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return files_ || is_ending_; });
    if (!files_) {
      return;
    }
    // start() leaves them alone until they are done.
    lock.unlock();
    WriteOutcome outcome = write(*files_);
    lock.lock();
    outcome_ = std::move(outcome);
    files_.reset();  // and with them the snapshot
    changed_.notify_all();
  }
}

}  // namespace yolodist::checkpoint
