// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
//
// Trains two steps on the sample and prints, as one line of JSON, what the plan had predicted for this rank
// and what the counting allocator measured. Run by tools/bench_memory.py.
//   memory_bench MODEL SIDE BATCH OPTIMIZER RECOMPUTE PRECISION [trace]
#include <ATen/Parallel.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>

#include "common/base/log.h"
#include "common/run/run_directory.h"
#include "tests/support/local_training.h"
#include "tests/support/temporary_folder.h"
#include "worker/memory/budget.h"
#include "worker/memory/meter.h"
#include "worker/train/planning.h"

namespace yolodist {
namespace {

// The largest of what is alive, each time the peak rises; printed at the end with `trace`.
struct Trace {
  int64_t current = 0, peak = 0;
  memory::Mark at;
  int64_t at_bytes = 0;
};

void observe(int64_t bytes, const memory::Mark& mark, void* context) {
  Trace& trace = *static_cast<Trace*>(context);
  trace.current += bytes;
  if (trace.current > trace.peak) {
    trace.peak = trace.current;
    trace.at = mark;
    trace.at_bytes = bytes;
  }
}

int measure(int argc, char** argv) {
  if (argc < 7) {
    std::fputs("memory_bench MODEL SIDE BATCH OPTIMIZER RECOMPUTE PRECISION [trace]\n", stderr);
    return 64;
  }
  memory::install_counting_allocator();
  log::configure({.console_level = log::Level::error, .prefix = "", .console_to_stderr = true});
  config::TrainOptions options = test::sample_options(std::stoi(argv[2]));
  options.cfg = std::string(YOLODIST_SOURCE_DIR "/share/yolodist/models/") + argv[1] + ".yaml";
  options.global_batch = std::stoi(argv[3]);
  options.optimizer = argv[4];
  options.recompute = argv[5];
  options.precision = argv[6];
  options.threads = at::get_num_threads();
  options.accumulate = 1;
  options.max_iterations = 2;
  options.no_plots = true;
  Trace trace;
  if (argc > 7 && std::strcmp(argv[7], "trace") == 0) {
    trace.current = memory::counters().current_bytes;
    memory::set_observer(observe, &trace);
  }
  const test::TemporaryFolder folder;
  const auto start = std::chrono::steady_clock::now();
  const test::LocalRun local =
      test::train_locally(options, 1, run::create_run_directory(folder.path(), "bench", false).root.string());
  memory::set_observer(nullptr, nullptr);
  const plan::RankPlan& rank = local.ranks[0]->plan.ranks[0];
  nlohmann::ordered_json result;
  result["model"] = argv[1];
  result["imgsz"] = options.imgsz_px;
  result["batch"] = options.global_batch;
  result["optimizer"] = options.optimizer;
  result["recompute"] = options.recompute;
  result["precision"] = options.precision;
  result["predicted_bytes"] = rank.estimate.training_bytes;
  result["measured_bytes"] = memory::read(at::kCPU).highest_bytes;
  result["state_bytes"] = rank.estimate.state_bytes;
  result["predicted_at"] = rank.estimate.peak_at;
  result["terms"] = train::terms_json(rank.estimate.terms);
  result["seconds"] = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (trace.peak > 0) {
    result["measured_at"] =
        std::string(memory::name_of(trace.at.phase)) + " of " +
        (trace.at.piece != nullptr ? *trace.at.piece : "model." + std::to_string(trace.at.layer)) + " (+" +
        std::to_string(trace.at_bytes) + ")";
  }
  std::puts(result.dump().c_str());
  return 0;
}

}  // namespace
}  // namespace yolodist

int main(int argc, char** argv) {
  return yolodist::measure(argc, argv);
}
