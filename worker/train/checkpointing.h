// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "worker/checkpoint/background_writer.h"
#include "worker/telemetry/metrics_jsonl.h"
#include "worker/telemetry/results_csv.h"
#include "worker/train/training.h"

namespace yolodist::train {

// What is saved besides last.pt, and of what.
struct SaveRequest {
  bool with_gradients = false;        // inside an unfinished optimizer step
  bool is_best = false;               // as best.pt
  std::optional<int> epoch_number{};  // as epochN.pt
};

// The checkpoints of one call of train(). Rank 0 copies the state to host memory between two iterations and
// writes the copy beside the training; the others only take part in what is collective. Before a file takes
// its place, the rows of results.csv and metrics.jsonl so far are on the disk and the run is still this
// job's; last.pt comes last, so that what it says of best.pt is true. A checkpoint that cannot be written is
// a warning and an event; the next is tried when its time comes, and a best.pt that is owed with it.
class Checkpointing {
 public:
  // `metrics` and `results`: rank 0's, null elsewhere. All outlive this.
  Checkpointing(Training& training, telemetry::MetricsLog* metrics, telemetry::ResultsLog* results);
  ~Checkpointing();  // finishes what is being written

  // Rank 0: whether it is time, with the step that is about to be made. Not while one is being written.
  bool is_due() const;
  // Rank 0: looks at what has been written meanwhile. True once the run has to end for it: too many failures
  // in a row, or another job has taken the run.
  bool must_end();
  // Begins a checkpoint of the state as it is; waits for one that is being written. Call on every rank.
  void save(const SaveRequest& request);
  // The last one: returns when it is written; what fails is tried again for some seconds. Collective. Throws
  // StorageError on all ranks alike.
  void save_finally(const SaveRequest& request);
  // After a vote of must_end(). Collective; throws StorageError on all ranks alike.
  [[noreturn]] void end_for_storage();

 private:
  using Clock = std::chrono::steady_clock;
  using Files = std::vector<checkpoint::FileToWrite>;

  // Why the run has to end; of rank 0.
  struct Ending {
    std::string message, hint;
    bool is_taken_over = false;
  };
  Files files_of(const SaveRequest& request, std::shared_ptr<const checkpoint::Checkpoint> state);
  void before_rename();
  void take(const checkpoint::WriteOutcome& outcome);
  void write_now(const Files& files);
  std::string last_good() const;
  void warn(const std::string& line);
  void agree();

  Training& training_;
  telemetry::MetricsLog* const metrics_;
  telemetry::ResultsLog* const results_;
  std::atomic<bool> is_first_ = false;  // last.pt, if there is one, is of a run that this one replaces

  // Of the last checkpoint that was begun, and of the last that was written.
  Clock::time_point begun_ = Clock::now();
  int64_t begun_step_, begun_iteration_;
  std::optional<Clock::time_point> written_;
  int64_t written_iteration_ = 0;

  std::shared_ptr<const checkpoint::Checkpoint> best_;  // not known to be written as best.pt
  std::string problem_;                                 // of the last outcome; "" = last.pt is written
  int failures_ = 0;                                    // in a row
  std::optional<Ending> ending_;
  std::unique_ptr<checkpoint::BackgroundWriter> writer_;  // rank 0; last: it uses the others
};

}  // namespace yolodist::train
