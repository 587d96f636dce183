// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace yolodist::run {

// The names of a run's files; docs/run_directory.md describes them. Nothing here touches the disk.
struct RunDirectory {
  std::filesystem::path root;

  std::filesystem::path run_yaml() const { return root / "run.yaml"; }
  std::filesystem::path results_csv() const { return root / "results.csv"; }
  std::filesystem::path metrics_jsonl() const { return root / "metrics.jsonl"; }
  std::filesystem::path token_file() const { return root / ".token"; }
  std::filesystem::path owner_file() const { return root / ".owner"; }

  std::filesystem::path weights_folder() const { return root / "weights"; }
  std::filesystem::path weights_last() const { return weights_folder() / "last.pt"; }
  std::filesystem::path weights_best() const { return weights_folder() / "best.pt"; }
  std::filesystem::path weights_epoch(int epoch) const;  // weights/epochN.pt of --save-period, N from 0

  std::filesystem::path logs_folder() const { return root / "logs"; }
  std::filesystem::path rank_log(int rank) const;                                // logs/rank-R.log
  std::filesystem::path data_log() const { return logs_folder() / "data.txt"; }  // pictures left out

  std::filesystem::path failures_folder() const { return root / "failures"; }
  std::filesystem::path failure_report(int attempt, int rank) const;  // failures/attempt-A.rank-R.json
  // failures/attempt-A.rank-R.memory-N.json: an out-of-memory that training went on from, N from 0
  std::filesystem::path memory_report(int attempt, int rank, int number) const;
  // failures/attempt-A.rank-R.link-N.json: devices that had to be connected anew, N from 0
  std::filesystem::path link_report(int attempt, int rank, int number) const;
  std::filesystem::path plan_json() const { return root / "plan.json"; }
  // Its being there asks the run to save and stop; who has seen it removes it.
  std::filesystem::path stop_file() const { return root / ".stop"; }
};

// `last` and where those before it are kept: last.pt, last-1.pt, last-2.pt.
std::vector<std::filesystem::path> kept_checkpoints(const std::filesystem::path& last);

// Whether there is a checkpoint to go on from, be it an earlier one.
bool has_checkpoint(const RunDirectory& run);

// Makes project/name with its folders logs and failures, and weights where it `trains`, or, where that exists
// already and `exist_ok` is not set, the first free of name2, name3, … (as YOLOv5: there is no name1). The
// name is taken by mkdir, so two jobs that start at once get different runs. Throws UsageError for a name
// that is empty or leads out of the project, StorageError when a folder cannot be made.
RunDirectory create_run_directory(const std::filesystem::path& project, const std::string& name,
                                  bool exist_ok, bool trains = true);

// The run that --resume means: `path` may be a run directory (also by its name inside `project`), its
// run.yaml, or a checkpoint in its weights folder; "" is the run under `project` whose weights/last.pt, or
// else run.yaml, was written last. A run counts if it has one of these two files. Throws DataError when there
// is none, naming what is there instead.
RunDirectory find_run_to_resume(const std::filesystem::path& path, const std::filesystem::path& project);
// The same for another purpose, which its errors name: "there is no run to watch under …".
RunDirectory find_run(const std::filesystem::path& path, const std::filesystem::path& project,
                      const std::string& purpose);

// run.yaml: `document` after a first line `schema: 1`. Written whole or not at all; throws StorageError.
void write_run_yaml(const RunDirectory& run, const nlohmann::ordered_json& document);
// Replaces whole numbers among its options, which are known only once the workers have looked at the data
// (--batch-size -1). Throws StorageError, and InternalError for an option that is not there.
void set_options(const RunDirectory& run, const std::map<std::string, int64_t>& values);
// Throws DataError with file and line: not there, does not parse, no schema, or one of a newer yolodist.
nlohmann::json read_run_yaml(const RunDirectory& run);

}  // namespace yolodist::run
