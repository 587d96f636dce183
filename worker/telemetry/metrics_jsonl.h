// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace yolodist::telemetry {

// A rank's memory and pace at one iteration.
struct RankState {
  int rank = 0;
  int64_t allocated_bytes = 0, peak_bytes = 0, reserved_bytes = 0;
  double ready_ms = 0;  // from the iteration's start until its gradients were ready to be reduced
};

// One iteration: one global batch through forward and backward. Losses are those of the global batch.
struct IterationRow {
  int attempt = 0;  // how many times workers were started before; of a replayed iteration the last row counts
  int epoch = 0;
  int64_t iteration = 0;  // since the run's start, from 0
  int64_t step = 0;       // optimizer steps since the run's start
  int imgsz_px = 0;
  int global_batch = 0;  // pictures of this iteration
  double box = 0, obj = 0, cls = 0, total = 0;
  std::vector<double> lr;  // a parameter group
  double images_per_s = 0;
  std::vector<RankState> ranks;
};

// Something that happened: "start", "checkpoint", "stop", "failure", …
struct EventRow {
  int attempt = 0;
  int64_t iteration = 0;  // the next to run when it happened
  std::string event;
  std::string detail;  // text for people
};

// A rank's memory at a moment, once a second.
struct SampleRow {
  int attempt = 0;
  double time_s = 0;  // since 1970, by rank 0's clock
  int rank = 0;
  int64_t iteration = 0;  // that ran, or was the next to
  int64_t allocated_bytes = 0, peak_bytes = 0,
          reserved_bytes = 0;  // of the device; the peak since the attempt's start
  int64_t host_bytes = 0;      // staging of pictures and checkpoints, apart
  std::string phase;           // of memory::name_of
  // Of the whole card, whoever holds it; nothing on the CPU, and where the driver does not say.
  std::optional<int64_t> device_used_bytes{}, other_processes_bytes{};
};

// The line of a row, without the line end. Numbers are printed so that they read back to the same bits; what
// is not finite becomes null, since JSON has no word for it.
std::string metrics_line(const IterationRow& row);
std::string metrics_line(const EventRow& row);
std::string metrics_line(const SampleRow& row);

// metrics.jsonl. add only keeps the row, so it may be called inside the step; publish and flush write.
// Thread-safe; rows are written in the order of the calls, and add does not wait for a write under way.
class MetricsLog {
 public:
  explicit MetricsLog(std::filesystem::path file) : file_(std::move(file)) {}
  ~MetricsLog();  // flushes; what cannot be written is reported as a warning
  MetricsLog(const MetricsLog&) = delete;
  MetricsLog& operator=(const MetricsLog&) = delete;

  void add(const IterationRow& row);
  void add(const EventRow& row);
  void add(const SampleRow& row);
  // Appends what has been added since the last write, for those who look on. Throws StorageError; the rows
  // then stay for the next.
  void publish();
  // The same, with an fsync of all there is.
  void flush();

 private:
  void add_line(const std::string& line);
  template <typename Append>
  void write(const Append& append);

  const std::filesystem::path file_;
  std::mutex write_mutex_;  // held while a write is under way; taken before the other
  bool has_unsynced_ = false;
  std::mutex pending_mutex_;
  std::string pending_;
};

// Drops the rows of iterations from `first_iteration_dropped` on, and incomplete lines, for a run that goes
// on from a checkpoint; samples go with the iteration that ran. Events stay: they happened. Replaces the file
// atomically; if it is not there nothing happens.
void cut_metrics(const std::filesystem::path& file, int64_t first_iteration_dropped);

}  // namespace yolodist::telemetry
