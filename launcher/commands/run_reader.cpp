// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/commands/run_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "common/base/atomic_file.h"
#include "common/base/bytes.h"
#include "common/base/error.h"
#include "common/base/text.h"
#include "common/run/failure_report.h"

namespace yolodist::commands {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// Samples come once a second and are written every two; a stuck file system or a stopped process shows soon.
constexpr double patience_s = 15;
constexpr int64_t most_bytes_at_first = int64_t{4} << 20;

double now_s() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

double number_or_nan(const json& document, const char* key) {
  const auto found = document.find(key);
  return found != document.end() && found->is_number() ? found->get<double>() : std::nan("");
}

int64_t integer(const json& document, const char* key) {
  const auto found = document.find(key);
  return found != document.end() && found->is_number_integer() ? found->get<int64_t>() : 0;
}

// Without what would move a terminal's cursor.
std::string plain(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, ' ');
  return text;
}

std::string word(const json& document, const char* key) {
  const auto found = document.find(key);
  return found != document.end() && found->is_string() ? plain(found->get<std::string>()) : "";
}

json object(const json& document, const char* key) {
  const auto found = document.find(key);
  return found != document.end() && found->is_object() ? *found : json::object();
}

// Whether the file has been written since `seen`, which then is its time.
bool has_changed(const fs::path& file, fs::file_time_type& seen) {
  std::error_code missing;
  const fs::file_time_type time = fs::last_write_time(file, missing);
  return !missing && std::exchange(seen, time) != time;
}

// The report that explains the end of the workers that were started last.
std::optional<run::FailureReport> last_failure(const run::RunDirectory& directory, double since_s) {
  std::vector<run::FailureReport> reports;
  std::error_code missing;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory.failures_folder(), missing)) {
    const std::string name = entry.path().filename().string();
    const bool was_survived =
        name.find(".memory-") != std::string::npos || name.find(".link-") != std::string::npos;
    if (entry.path().extension() != ".json" || was_survived) {
      continue;
    }
    try {
      run::FailureReport report = run::read_failure_report(entry.path());
      if (static_cast<double>(report.time_ns) / 1e9 >= since_s) {
        reports.push_back(std::move(report));
      }
    } catch (const Error&) {
      // Half written, or of another version: the state does not depend on it.
    }
  }
  const run::FailureReport* found = run::earliest_most_specific(reports);
  return found != nullptr ? std::optional(*found) : std::nullopt;
}

// --device-memory as run.yaml has it: bytes or text, alone or a list. What is neither is not known.
std::vector<int64_t> budgets_of(const json& device_memory) {
  std::vector<int64_t> budgets;
  for (const json& amount : device_memory.is_array() ? device_memory : json::array({device_memory})) {
    int64_t bytes = 0;
    if (amount.is_number_integer()) {
      bytes = amount.get<int64_t>();
    } else if (amount.is_string() && !amount.get<std::string>().empty()) {
      try {
        bytes = parse_bytes(amount.get<std::string>(), "device_memory").count;
      } catch (const UsageError&) {
        bytes = 0;
      }
    }
    budgets.push_back(bytes);
  }
  return budgets;
}

std::string model_of(const json& options) {
  const std::string source = word(options, "cfg").empty() ? word(options, "weights") : word(options, "cfg");
  return fs::path(source).filename().string();
}

}  // namespace

RunReader::RunReader(run::RunDirectory run) : run_(std::move(run)) {
  view_.root = run_.root;
  const json document = run::read_run_yaml(run_);
  if (document.value("command", "train") != "train" || !document.contains("options")) {
    throw DataError(cat(run_.run_yaml().string(), ": not of a training run"),
                    "Name the run directory of a training run.");
  }
}

const RunView& RunReader::refresh() {
  if (has_changed(run_.run_yaml(), run_yaml_time_)) {
    read_run();
  }
  read_metrics();
  if (has_changed(run_.plan_json(), plan_time_)) {
    read_plan();
  }
  judge_state();
  return view_;
}

void RunReader::read_run() {
  json document;
  try {
    document = run::read_run_yaml(run_);
  } catch (const Error&) {
    return;
  }
  const json options = object(document, "options");
  view_.model = model_of(options);
  view_.host = word(document, "host");
  view_.imgsz_px = static_cast<int>(integer(options, "imgsz"));
  view_.global_batch = static_cast<int>(integer(options, "batch_size"));
  view_.epochs = integer(options, "epochs");
  budgets_bytes_ = budgets_of(options.value("device_memory", json()));
  // It is written again when a run is resumed, perhaps with other ranks.
  view_.world_size = static_cast<int>(std::clamp<int64_t>(integer(document, "world_size"), 1, 65536));
  forget_measurements();
  plan_time_ = {};
}

void RunReader::forget_measurements() {
  view_.ranks.assign(static_cast<size_t>(view_.world_size), RankView());
  for (size_t rank = 0; rank < view_.ranks.size() && !budgets_bytes_.empty(); ++rank) {
    view_.ranks[rank].budget_bytes = budgets_bytes_[std::min(rank, budgets_bytes_.size() - 1)];
  }
  plan_time_ = {};
}

void RunReader::read_plan() {
  const json document = json::parse(read_file(run_.plan_json()), nullptr, /*allow_exceptions=*/false);
  if (!document.is_object() || !document.contains("plans") || !document["plans"].is_array() ||
      document["plans"].empty()) {
    return;
  }
  const json plan = object(document["plans"].back(), "plan");
  const auto ranks = plan.find("ranks");
  if (ranks == plan.end() || !ranks->is_array()) {
    return;
  }
  for (const json& row : *ranks) {
    if (RankView* rank = rank_of(row)) {
      rank->planned_bytes = integer(object(row, "peak_bytes"), "allocator");
      if (const int64_t budget = integer(row, "budget_bytes"); budget > 0) {
        rank->budget_bytes = budget;
      }
    }
  }
}

void RunReader::read_metrics() {
  const int descriptor = ::open(run_.metrics_jsonl().c_str(), O_RDONLY | O_CLOEXEC);
  struct stat status = {};
  if (descriptor < 0 || ::fstat(descriptor, &status) != 0) {
    if (descriptor >= 0) {
      ::close(descriptor);
    }
    return;
  }
  const auto size = static_cast<uint64_t>(status.st_size);
  if (status.st_ino != file_id_ || size < read_bytes_) {
    // New, or replaced when the run was resumed: from its end again.
    file_id_ = status.st_ino;
    read_bytes_ = size > most_bytes_at_first ? size - most_bytes_at_first : 0;
    skips_a_line_ = read_bytes_ > 0;
    unfinished_line_.clear();
    forget_measurements();
    view_.iteration.reset();
    view_.last_event.clear();
    last_sign_s_ = static_cast<double>(status.st_mtim.tv_sec);
    has_ended_ = false;
  } else if (size > read_bytes_) {
    grew_at_ = std::chrono::steady_clock::now();
  }
  std::string piece(size_t{1} << 18, '\0');
  ssize_t count = 0;
  while ((count = ::pread(descriptor, piece.data(), piece.size(), static_cast<off_t>(read_bytes_))) > 0) {
    read_bytes_ += static_cast<uint64_t>(count);
    unfinished_line_.append(piece, 0, static_cast<size_t>(count));
    size_t begin = 0;
    for (size_t end = unfinished_line_.find('\n'); end != std::string::npos;
         end = unfinished_line_.find('\n', begin)) {
      if (!std::exchange(skips_a_line_, false)) {
        take_line(unfinished_line_.substr(begin, end - begin));
      }
      begin = end + 1;
    }
    unfinished_line_.erase(0, begin);
  }
  ::close(descriptor);
}

void RunReader::take_line(const std::string& line) {
  const json row = json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!row.is_object()) {
    return;
  }
  const std::string type = word(row, "type");
  if (type == "sample") {
    take_sample(row);
  } else if (type == "iteration") {
    take_iteration(row);
  } else if (type == "event") {
    take_event(row);
  }
}

RankView* RunReader::rank_of(const json& row) {
  const int64_t rank = row.contains("rank") ? integer(row, "rank") : -1;
  return rank >= 0 && rank < view_.world_size ? &view_.ranks[static_cast<size_t>(rank)] : nullptr;
}

void RunReader::take_sample(const json& row) {
  has_ended_ = false;
  if (const double time_s = number_or_nan(row, "time_s"); !std::isnan(time_s)) {
    last_sign_s_ = time_s;
  }
  if (RankView* rank = rank_of(row)) {
    rank->phase = word(row, "phase");
    rank->used_bytes = integer(row, "allocated_bytes");
    rank->peak_bytes = std::max(rank->peak_bytes, integer(row, "peak_bytes"));
    rank->host_bytes = integer(row, "host_bytes");
    rank->others_bytes = integer(row, "other_processes_bytes");
  }
}

void RunReader::take_iteration(const json& row) {
  has_ended_ = false;
  const json loss = object(row, "loss");
  view_.iteration = IterationView{.epoch = integer(row, "epoch"),
                                  .iteration = integer(row, "iteration"),
                                  .step = integer(row, "step"),
                                  .images_per_s = number_or_nan(row, "images_per_s"),
                                  .box = number_or_nan(loss, "box"),
                                  .obj = number_or_nan(loss, "obj"),
                                  .cls = number_or_nan(loss, "cls"),
                                  .total = number_or_nan(loss, "total")};
  const auto ranks = row.find("ranks");
  if (ranks == row.end() || !ranks->is_array()) {
    return;
  }
  for (const json& entry : *ranks) {
    if (RankView* rank = entry.is_object() ? rank_of(entry) : nullptr) {
      rank->used_bytes = integer(entry, "allocated_bytes");
      rank->peak_bytes = std::max(rank->peak_bytes, integer(entry, "peak_bytes"));
    }
  }
}

void RunReader::take_event(const json& row) {
  const std::string event = word(row, "event");
  if (event == "start") {
    forget_measurements();
    has_ended_ = false;
  } else if (event == "end") {
    has_ended_ = true;
    end_ = word(row, "detail");
  } else {
    view_.last_event = cat("iteration ", integer(row, "iteration"), ": ",
                           word(row, "detail").empty() ? event : word(row, "detail"));
  }
}

void RunReader::judge_state() {
  view_.state_text.clear();
  view_.silent_s = last_sign_s_ > 0 ? std::max(0.0, now_s() - last_sign_s_) : 0;
  // Clocks of hosts differ: what has been seen to grow is alive.
  if (grew_at_) {
    const double since_growth_s =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - *grew_at_).count();
    view_.silent_s = std::min(view_.silent_s, since_growth_s);
  }
  if (has_ended_) {
    view_.state = RunState::finished;
    view_.state_text = end_;
    return;
  }
  constexpr double same_moment_s = 3;  // of two hosts' clocks, and of what is written late
  if (const auto failure = last_failure(run_, last_sign_s_ - same_moment_s);
      failure && (view_.silent_s > same_moment_s || last_sign_s_ == 0)) {
    view_.state = RunState::failed;
    view_.state_text = plain(cat("rank ", failure->rank, " on ", failure->host, ": ", failure->what));
  } else if (last_sign_s_ == 0) {
    view_.state = RunState::starting;
  } else {
    view_.state = view_.silent_s > patience_s ? RunState::silent : RunState::running;
  }
}

}  // namespace yolodist::commands
