// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>

#include "worker/memory/nvml.h"
#include "worker/telemetry/metrics_jsonl.h"
#include "worker/telemetry/ticker.h"
#include "worker/train/launch_link.h"
#include "worker/train/training.h"

namespace yolodist::train {

// While it lives, this rank's memory is read once a second, on a thread of its own, and sent to its launcher,
// which takes it as a sign of life, and to rank 0, where the samples of all ranks enter metrics.jsonl. There
// the file is written every two seconds, so that others can look on. Made on the thread that trains, whose
// phase the samples name. No collective, nothing in the step.
class Sampling {
 public:
  // `metrics`: rank 0's, null elsewhere; it and `link` outlive this.
  Sampling(const Training& training, const LaunchLink& link, telemetry::MetricsLog* metrics);
  ~Sampling();
  Sampling(const Sampling&) = delete;
  Sampling& operator=(const Sampling&) = delete;

  // The iteration that runs from now on.
  void running(int64_t iteration) { iteration_.store(iteration, std::memory_order_relaxed); }

 private:
  void tick();
  void add(int rank, const protocol::Sample& sample);

  const int rank_, attempt_;
  const at::Device device_;
  const memory::CardReader card_;
  const LaunchLink& link_;
  telemetry::MetricsLog* const metrics_;
  std::atomic<int64_t> iteration_;
  telemetry::Ticker ticker_;  // after all that it uses
  // A thread of its own: a disk that does not answer must not look like a worker that does not.
  std::optional<telemetry::Ticker> writer_;
};

}  // namespace yolodist::train
