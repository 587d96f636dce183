// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/atomic_file.h"
#include "common/run/run_directory.h"
#include "tests/support/local_training.h"
#include "tests/support/temporary_folder.h"
#include "worker/memory/budget.h"

namespace yolodist::test {

// What a run on threads of this process left, without any tensor: so that the next run has its budget for
// itself.
struct RecordedRun {
  ExitCode exit_code{};
  std::map<std::string, size_t> tensors;   // a hash of each: model, average, optimizer state; of rank 0
  std::map<int64_t, nlohmann::json> rows;  // by iteration; of one that was done again the last
  std::vector<nlohmann::json> events;
  std::vector<plan::Plan> plans;          // in force at the end, by rank
  std::vector<nlohmann::json> plan_file;  // the entries of plan.json
  std::vector<nlohmann::json> memory_reports;
  std::string results_csv;
  train::RunState state;

  const plan::RankPlan& own() const { return plans.at(0).ranks.at(0); }
};

inline size_t hash_of(const at::Tensor& tensor) {
  const at::Tensor bytes = tensor.detach().contiguous();
  return std::hash<std::string_view>()(
      {static_cast<const char*>(bytes.const_data_ptr()), static_cast<size_t>(bytes.nbytes())});
}

inline void add_hashes(RecordedRun& record, const std::string& kind, const model::StateDict& state) {
  for (size_t i = 0; i < state.size(); ++i) {
    record.tensors[kind + " " + state.entries()[i].name] = hash_of(state[i]);
  }
}

inline void add_files(RecordedRun& record, const run::RunDirectory& directory) {
  std::ifstream metrics(directory.metrics_jsonl());
  for (std::string line; std::getline(metrics, line);) {
    const auto row = nlohmann::json::parse(line);
    if (row.at("type") == "iteration") {
      record.rows[row.at("iteration").get<int64_t>()] = row;
    } else if (row.at("type") == "event") {
      record.events.push_back(row);
    }
  }
  if (std::filesystem::exists(directory.results_csv())) {
    record.results_csv = read_file(directory.results_csv());
  }
  const auto plans = nlohmann::json::parse(read_file(directory.plan_json())).at("plans");
  record.plan_file.assign(plans.begin(), plans.end());
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(directory.failures_folder())) {
    files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  for (const auto& file : files) {
    record.memory_reports.push_back(nlohmann::json::parse(read_file(file)));
  }
}

// Trains in `directory`, and lets go of everything but the record.
inline RecordedRun record_run(const config::TrainOptions& options, int world_size,
                              const run::RunDirectory& directory, const std::string& resume_checkpoint = "",
                              int stop_at_iteration = -1) {
  RecordedRun record;
  {
    const LocalRun run =
        train_locally(options, world_size, directory.root.string(), resume_checkpoint, stop_at_iteration);
    record.exit_code = run.exit_code;
    const train::Training& first = *run.ranks[0];
    add_hashes(record, "model", first.model->state);
    add_hashes(record, "average", first.ema->model().state);
    for (const auto& [kind, tensors] : first.optimizer->state()) {
      for (const auto& [name, tensor] : tensors) {
        record.tensors[kind + " " + name] = hash_of(tensor);
      }
    }
    record.state = first.state;
    for (const auto& rank : run.ranks) {
      record.plans.push_back(rank->plan);
    }
  }
  add_files(record, directory);
  return record;
}

// The same in a folder of its own.
inline RecordedRun record_run(const config::TrainOptions& options, int world_size) {
  const TemporaryFolder folder;
  return record_run(options, world_size, run::create_run_directory(folder.path(), "exp", false));
}

}  // namespace yolodist::test
