// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
//
// Trains two steps on the sample and prints, as one line of JSON, what the plan had predicted for this rank
// and what the allocator measured; on a card also what lies outside of the allocator, as the driver sees it.
// Run by tools/bench_memory.py.
//   memory_bench MODEL SIDE BATCH OPTIMIZER RECOMPUTE PRECISION [cuda|trace]
#include <ATen/Parallel.h>

#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "common/base/log.h"
#include "common/run/run_directory.h"
#include "tests/support/card.h"
#include "tests/support/local_training.h"
#include "tests/support/temporary_folder.h"
#include "worker/memory/budget.h"
#include "worker/memory/meter.h"
#include "worker/memory/nvml.h"
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

// What the driver counts on the card, whoever holds it, at points of this process's life.
struct CardUse {
  std::optional<int64_t> before, with_context, with_nccl, at_end;
};

std::optional<int64_t> used_bytes(const memory::CardReader& reader) {
  const auto use = reader.read();
  return use ? std::optional(use->used_bytes) : std::nullopt;
}

nlohmann::ordered_json json_of(const CardUse& use, const test::Card& card, const plan::RankPlan& rank) {
  nlohmann::ordered_json result;
  const auto difference = [&result](const char* name, std::optional<int64_t> more,
                                    std::optional<int64_t> less) {
    result[name] = more && less ? nlohmann::ordered_json(*more - *less) : nlohmann::ordered_json(nullptr);
  };
  const memory::Reading reading = memory::read(card.device);
  result["name"] = card.name;
  result["total_bytes"] = card.total_bytes;
  result["reserved_bytes"] = reading.reserved_bytes;
  difference("context_bytes", use.with_context, use.before);
  difference("nccl_bytes", use.with_nccl, use.with_context);
  difference("used_bytes", use.at_end, use.before);
  const plan::Terms& terms = rank.estimate.terms;
  result["planned"] = {{"device_bytes", rank.estimate.device_bytes},
                       {"context_bytes", terms.context},
                       {"nccl_bytes", terms.nccl},
                       {"workspace_bytes", terms.workspace},
                       {"fragmentation_bytes", terms.fragmentation}};
  return result;
}

config::TrainOptions options_of(char** argv) {
  config::TrainOptions options = test::card_options(argv[1], std::stoi(argv[2]), argv[6]);
  options.global_batch = std::stoi(argv[3]);
  options.optimizer = argv[4];
  options.recompute = argv[5];
  options.threads = at::get_num_threads();
  options.accumulate = 1;
  options.max_iterations = 2;
  options.epochs = 10;
  return options;
}

int measure(int argc, char** argv) {
  if (argc < 7) {
    std::fputs("memory_bench MODEL SIDE BATCH OPTIMIZER RECOMPUTE PRECISION [cuda|trace]\n", stderr);
    return 64;
  }
  const std::string mode = argc > 7 ? argv[7] : "";
  memory::install_counting_allocator();
  log::configure({.console_level = log::Level::error, .prefix = "", .console_to_stderr = true});
  const config::TrainOptions options = options_of(argv);
  const test::Card card = test::find_card(mode == "cuda" ? "cuda" : "cpu");
  if (!card.problem.empty()) {
    std::fprintf(stderr, "%s\n", card.problem.c_str());
    return 69;
  }
  const memory::CardReader reader(card.uuid);
  CardUse use;
  use.before = used_bytes(reader);
  if (card.device.is_cuda()) {
    cudaFree(nullptr);  // makes the context
    use.with_context = used_bytes(reader);
  }
  Trace trace;
  if (mode == "trace") {
    trace.current = memory::counters().current_bytes;
    memory::set_observer(observe, &trace);
  }
  const test::TemporaryFolder folder;
  const auto start = std::chrono::steady_clock::now();
  const test::LocalRun local =
      test::train_locally(options, 1, run::create_run_directory(folder.path(), "bench", false).root.string(),
                          "", -1, {}, [&](train::Placement& placement) {
                            test::move_to(card, placement);
                            use.with_nccl = used_bytes(reader);
                          });
  use.at_end = used_bytes(reader);  // LibTorch gives nothing back, so this is the most that there was
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
  result["measured_bytes"] = memory::read(card.device).highest_bytes;
  result["state_bytes"] = rank.estimate.state_bytes;
  result["predicted_at"] = rank.estimate.peak_at;
  result["terms"] = train::terms_json(rank.estimate.terms);
  result["seconds"] = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (card.device.is_cuda()) {
    result["card"] = json_of(use, card, rank);
  }
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
