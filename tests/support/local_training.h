// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "common/base/error.h"
#include "common/config/train_options.h"
#include "worker/comm/local_communicator.h"
#include "worker/train/assemble.h"
#include "worker/train/train_loop.h"

namespace yolodist::test {

// Options for a quick run on the shipped sample: yolov5n from scratch, small pictures, no validation but the
// last.
inline config::TrainOptions sample_options(int imgsz_px) {
  config::TrainOptions options;
  options.cfg = YOLODIST_SOURCE_DIR "/share/yolodist/models/yolov5n.yaml";
  options.data = YOLODIST_SOURCE_DIR "/share/yolodist/sample/sample.yaml";
  options.hyp = YOLODIST_SOURCE_DIR "/share/yolodist/hyps/hyp.scratch-low.yaml";
  options.imgsz_px = imgsz_px;
  options.epochs = 10;
  options.no_val = true;
  options.workers = 1;
  return options;
}

struct LocalRun {
  std::vector<std::unique_ptr<train::Training>> ranks;  // as they ended
  ExitCode exit_code{};                                 // of rank 0
};

// Trains on `world_size` ranks that are threads of this process. `stop_at_iteration` >= 0: the last rank asks
// for a stop when it has done so many. `prepare` is called on each rank before it trains,
// `place` before it is put together, to move it from the CPU to another device.
inline LocalRun train_locally(const config::TrainOptions& options, int world_size,
                              const std::string& run_directory, const std::string& resume_checkpoint = "",
                              int stop_at_iteration = -1,
                              const std::function<void(train::Training&)>& prepare = {},
                              const std::function<void(train::Placement&)>& place = {}) {
  auto communicators = comm::make_local_communicators(world_size);
  LocalRun run;
  run.ranks.resize(static_cast<size_t>(world_size));
  std::vector<std::exception_ptr> failures(run.ranks.size());
  std::vector<std::thread> threads;
  for (int rank = 0; rank < world_size; ++rank) {
    threads.emplace_back([&, rank] {
      const size_t r = static_cast<size_t>(rank);
      try {
        protocol::Start start;
        start.rank = rank;
        start.world_size = world_size;
        start.run_directory = run_directory;
        start.options = options;
        start.threads = std::max(1, options.threads);
        if (start.options.bn_group == 0) {
          start.options.bn_group = (options.global_batch + world_size - 1) / world_size;
        }
        start.resume_checkpoint = resume_checkpoint;
        train::Placement placement;
        placement.communicator = std::move(communicators[r]);
        if (place) {
          place(placement);
        }
        run.ranks[r] = train::assemble(start, std::move(placement));
        if (prepare) {
          prepare(*run.ranks[r]);
        }
        int64_t done = 0;
        const train::LaunchLink link{
            .stop_reason =
                [&] { return rank == world_size - 1 && done == stop_at_iteration ? "SIGUSR1" : ""; },
            .send_progress = [&](const protocol::Progress& progress) { done = progress.iteration + 1; }};
        const ExitCode code = train::train(*run.ranks[r], link);
        if (rank == 0) {
          run.exit_code = code;
        }
      } catch (...) {
        failures[r] = std::current_exception();
        run.ranks[r].reset();  // so that the others do not wait for this rank
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  for (const bool peers_too : {false, true}) {  // the cause first, then what it did to the others
    for (const std::exception_ptr& failure : failures) {
      try {
        if (failure) {
          std::rethrow_exception(failure);
        }
      } catch (const PeerLost&) {
        if (peers_too) {
          throw;
        }
      }
    }
  }
  return run;
}

}  // namespace yolodist::test
