// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "common/run/run_directory.h"

namespace yolodist::commands {

// What is known of a rank. 0 or "" = not known.
struct RankView {
  std::string phase;
  int64_t used_bytes = 0, peak_bytes = 0;  // of the device; the peak since the workers' start
  int64_t host_bytes = 0;
  int64_t others_bytes = 0;   // of the card, held by other processes
  int64_t planned_bytes = 0;  // the plan's peak
  int64_t budget_bytes = 0;
};

struct IterationView {
  int64_t epoch = 0, iteration = 0, step = 0;
  double images_per_s = 0;
  double box = 0, obj = 0, cls = 0, total = 0;  // nan where the run had none
};

enum class RunState {
  starting,  // nothing has been measured yet
  running,
  silent,  // no sign of life for a while, and no word of an end
  failed,
  finished,  // or stopped in order: see state_text
};

struct RunView {
  std::filesystem::path root;
  std::string model, host;
  int world_size = 0, imgsz_px = 0, global_batch = 0;
  int64_t epochs = 0;
  std::vector<RankView> ranks;
  std::optional<IterationView> iteration;  // the last in the books
  RunState state = RunState::starting;
  std::string state_text;  // how it ended, why it failed
  double silent_s = 0;     // since the last sign of life
  std::string last_event;  // that was more than a start or an end: "iteration 12: …"
};

// A training run as its files tell, read over and over while it goes on. Of metrics.jsonl only what is new is
// read, and at first not more than its end. Everything but run.yaml may be missing.
class RunReader {
 public:
  // Throws DataError when run.yaml cannot be read, or is not of a training run.
  explicit RunReader(run::RunDirectory run);

  // The files as they are now; what cannot be read stays as it was.
  const RunView& refresh();

 private:
  void read_run();
  void read_plan();
  void read_metrics();
  void take_line(const std::string& line);
  void take_sample(const nlohmann::json& row);
  void take_iteration(const nlohmann::json& row);
  void take_event(const nlohmann::json& row);
  void forget_measurements();
  void judge_state();
  RankView* rank_of(const nlohmann::json& row);

  using FileTime = std::filesystem::file_time_type;
  run::RunDirectory run_;
  RunView view_;
  FileTime run_yaml_time_{}, plan_time_{};
  std::vector<int64_t> budgets_bytes_;  // of run.yaml: none, one for all ranks, or one a rank

  // Of metrics.jsonl.
  uint64_t read_bytes_ = 0, file_id_ = 0;
  std::string unfinished_line_;
  bool skips_a_line_ = false;  // the first after a jump into the middle
  double last_sign_s_ = 0;     // since 1970
  std::optional<std::chrono::steady_clock::time_point> grew_at_;
  bool has_ended_ = false;
  std::string end_;
};

}  // namespace yolodist::commands
