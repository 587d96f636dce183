// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <exception>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "worker/checkpoint/checkpoint.h"

namespace yolodist::checkpoint {

// One file to write. The tensors of its checkpoint are nobody's but the writer's: a snapshot in host memory.
struct FileToWrite {
  std::filesystem::path file;
  std::shared_ptr<const Checkpoint> checkpoint;
  bool is_needed_by_next = false;  // when it cannot be written, those after it are not begun
};

// How the writing of some files ended.
struct WriteOutcome {
  std::vector<std::filesystem::path> written;   // in order
  std::vector<std::filesystem::path> given_up;  // earlier checkpoints, for room
  std::filesystem::path failed;                 // the first that could not be written
  std::exception_ptr error;                     // why; null = all went well
};

// Writes checkpoints beside what its owner does, on a thread of its own, in the order in which they come.
// Every start() is followed by one outcome. All calls come from the owner's thread.
class BackgroundWriter {
 public:
  // `last`: whose earlier ones are kept, see kept_checkpoints.h. `before_rename` is called on the writer's
  // thread, when a file is complete and synced, before it takes its place; may throw to prevent that.
  // `require_ours` as in write_making_room, on that thread, too.
  BackgroundWriter(
      std::filesystem::path last, std::function<void()> before_rename,
      std::function<void()> require_ours = [] {});
  ~BackgroundWriter();  // finishes what is being written
  BackgroundWriter(const BackgroundWriter&) = delete;
  BackgroundWriter& operator=(const BackgroundWriter&) = delete;

  // Only when not busy and the outcome before was taken.
  void start(std::vector<FileToWrite> files);
  bool is_busy() const;
  // The outcome of the last start, once; nothing while it is being written, or when it was taken.
  std::optional<WriteOutcome> take_outcome();
  // Waits for it.
  std::optional<WriteOutcome> wait_for_outcome();

 private:
  void run();
  WriteOutcome write(const std::vector<FileToWrite>& files) const;

  const std::filesystem::path last_;
  const std::function<void()> before_rename_, require_ours_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<std::vector<FileToWrite>> files_;  // being written
  std::optional<WriteOutcome> outcome_;
  bool is_ending_ = false;
  std::thread thread_;
};

}  // namespace yolodist::checkpoint
