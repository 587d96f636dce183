// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

#include "common/run/run_directory.h"

namespace yolodist::supervise {

// Rank 0's eye on the run directory, in a thread of its own: a file system that does not answer must not keep
// the launcher from its peers. Renews the sign of life in the owner file, looks for what `yolodist stop`
// leaves, and sees when another job has taken the run over.
class RunWatch {
 public:
  // The owner file is there already (run::write_owner).
  RunWatch(const run::RunDirectory& run, std::string run_token);
  // Takes the owner file away, if the run is still this job's.
  ~RunWatch();
  RunWatch(const RunWatch&) = delete;
  RunWatch& operator=(const RunWatch&) = delete;

  // A stop was asked for since the last call.
  bool take_stop();
  bool is_taken_over() const;

 private:
  void look();

  const run::RunDirectory run_;
  const std::string run_token_;
  mutable std::mutex mutex_;
  std::condition_variable ends_;
  bool is_ending_ = false, stop_was_asked_ = false, is_taken_over_ = false;
  std::thread thread_;  // last: it uses the others
};

}  // namespace yolodist::supervise
