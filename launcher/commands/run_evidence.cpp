// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/commands/run_evidence.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>

#include "common/base/atomic_file.h"
#include "common/base/error.h"
#include "common/base/text.h"

namespace yolodist::commands {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr int64_t same_end_ns = int64_t{600} * 1'000'000'000;
constexpr std::streamoff log_tail_bytes = 256 << 10;
constexpr size_t most_lines_a_rank = 5, most_logs = 16;

std::vector<fs::path> files_of(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code missing;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, missing)) {
    files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

json read_object(const fs::path& file, const std::string& what) {
  json document = json::parse(read_file(file), nullptr, /*allow_exceptions=*/false);
  if (!document.is_object()) {
    throw DataError(cat(file.string(), ": not ", what));
  }
  return document;
}

void read_failures(const run::RunDirectory& directory, RunEvidence& evidence) {
  for (const fs::path& file : files_of(directory.failures_folder())) {
    if (file.extension() != ".json") {
      continue;
    }
    try {
      const std::string name = file.filename().string();
      if (name.find(".memory-") != std::string::npos) {
        evidence.memory_events.push_back({name, read_object(file, "a memory report")});
      } else if (name.find(".link-") != std::string::npos) {
        evidence.link_events.push_back({name, read_object(file, "a report on a lost connection")});
      } else {
        evidence.failures.push_back(run::read_failure_report(file));
      }
    } catch (const Error& error) {
      evidence.unread.emplace_back(error.what());
    }
  }
  std::stable_sort(evidence.failures.begin(), evidence.failures.end(),
                   [](const auto& a, const auto& b) { return a.time_ns < b.time_ns; });
}

void read_plan(const run::RunDirectory& directory, RunEvidence& evidence) {
  std::error_code missing;
  if (!fs::exists(directory.plan_json(), missing)) {
    return;
  }
  try {
    const json document = json::parse(read_file(directory.plan_json()), nullptr, /*allow_exceptions=*/false);
    if (document.is_object() && document.contains("plans") && document["plans"].is_array() &&
        !document["plans"].empty() && document["plans"].back().is_object()) {
      evidence.plan = document["plans"].back().value("plan", json());
    }
    if (!evidence.plan.is_object()) {
      throw DataError(cat(directory.plan_json().string(), ": holds no plan"));
    }
  } catch (const Error& error) {
    evidence.plan = nullptr;
    evidence.unread.emplace_back(error.what());
  }
}

// "2026-01-31 12:00:00.000 error …": the third word is the level.
bool is_complaint(const std::string& line) {
  const std::vector<std::string> words = split(std::string_view(line).substr(0, 40), ' ');
  return words.size() > 3 && (words[2] == "warning" || words[2] == "error");
}

void read_log(const fs::path& file, int rank, RunEvidence& evidence) {
  std::ifstream stream(file, std::ios::binary);
  std::error_code missing;
  const auto bytes = static_cast<std::streamoff>(fs::file_size(file, missing));
  if (!stream || missing) {
    evidence.unread.push_back(cat(file.string(), ": cannot be read"));
    return;
  }
  const std::streamoff begin = std::max<std::streamoff>(0, bytes - log_tail_bytes);
  stream.seekg(begin);
  std::string line;
  if (begin > 0) {
    std::getline(stream, line);
  }
  std::vector<std::string> found;
  while (std::getline(stream, line)) {
    if (is_complaint(line)) {
      found.push_back(line);
    }
    if (rank == 0 && !trimmed(line).empty()) {
      evidence.last_words = line;
    }
  }
  const size_t first = found.size() > most_lines_a_rank ? found.size() - most_lines_a_rank : 0;
  for (size_t i = first; i < found.size(); ++i) {
    evidence.log_lines.push_back({rank, found[i]});
  }
}

void read_logs(const run::RunDirectory& directory, RunEvidence& evidence) {
  std::vector<std::pair<int, fs::path>> logs;
  for (const fs::path& file : files_of(directory.logs_folder())) {
    const std::string name = file.filename().string();
    constexpr std::string_view before = "rank-", after = ".log";
    int rank = -1;
    if (name.starts_with(before) && name.ends_with(after)) {
      std::from_chars(name.data() + before.size(), name.data() + name.size(), rank);
    }
    if (rank >= 0) {
      logs.emplace_back(rank, file);
    }
  }
  std::sort(logs.begin(), logs.end());
  for (size_t i = 0; i < std::min(logs.size(), most_logs); ++i) {
    read_log(logs[i].second, logs[i].first, evidence);
  }
}

// The head is a line, too.
void count_epochs(const run::RunDirectory& directory, RunEvidence& evidence) {
  std::ifstream stream(directory.results_csv());
  std::string line;
  int64_t lines = 0;
  while (std::getline(stream, line)) {
    lines += trimmed(line).empty() ? 0 : 1;
  }
  evidence.epochs_done = std::max<int64_t>(0, lines - 1);
}

}  // namespace

const run::FailureReport* RunEvidence::main_failure() const {
  std::vector<run::FailureReport> last;
  for (const run::FailureReport& report : failures) {
    if (report.time_ns >= failures.back().time_ns - same_end_ns) {
      last.push_back(report);
    }
  }
  const run::FailureReport* best = run::earliest_most_specific(last);
  const auto same = std::find_if(failures.begin(), failures.end(), [&](const run::FailureReport& report) {
    return best != nullptr && report == *best;
  });
  return same == failures.end() ? nullptr : &*same;
}

RunEvidence read_evidence(const run::RunDirectory& directory) {
  RunEvidence evidence;
  read_failures(directory, evidence);
  read_plan(directory, evidence);
  read_logs(directory, evidence);
  count_epochs(directory, evidence);
  return evidence;
}

}  // namespace yolodist::commands
