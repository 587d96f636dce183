// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/run/run_directory.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <optional>
#include <vector>

#include <nlohmann/json.hpp>

#include "common/base/atomic_file.h"
#include "common/base/error.h"
#include "common/base/text.h"
#include "common/config/run_file.h"

namespace yolodist::run {
namespace {

namespace fs = std::filesystem;

constexpr int schema = 1;
constexpr int highest_number = 9999;  // as YOLOv5

void make_folders(const fs::path& folder) {
  std::error_code failure;
  fs::create_directories(folder, failure);
  if (failure) {
    throw StorageError(cat("cannot make the folder ", folder.string(), ": ", failure.message()),
                       "Choose another --project.");
  }
}

RunDirectory with_folders(const fs::path& root, bool trains) {
  const RunDirectory run{root};
  if (trains) {
    make_folders(run.weights_folder());
  }
  make_folders(run.logs_folder());
  make_folders(run.failures_folder());
  return run;
}

// A file system that cannot tell must not look like one that has nothing: a run would begin anew over its own
// files.
bool is_present(const fs::path& path) {
  std::error_code failure;
  const bool there = fs::exists(path, failure);
  if (failure) {
    throw StorageError(cat("cannot look for ", path.string(), ": ", failure.message()),
                       "Is the file system there, and may it be read?");
  }
  return there;
}

bool is_run(const RunDirectory& run) {
  return is_present(run.weights_last()) || is_present(run.run_yaml());
}

// A folder or file without a "/" at the end, so that parent_path is the folder above.
fs::path cleaned(const fs::path& path) {
  const fs::path normal = fs::absolute(path).lexically_normal();
  return normal.has_filename() ? normal : normal.parent_path();
}

std::optional<fs::file_time_type> last_written(const RunDirectory& run) {
  for (const fs::path& file : {run.weights_last(), run.run_yaml()}) {
    std::error_code failure;
    const fs::file_time_type time = fs::last_write_time(file, failure);
    if (!failure) {
      return time;
    }
  }
  return std::nullopt;
}

RunDirectory newest_run(const fs::path& project, const std::string& purpose) {
  std::optional<RunDirectory> newest;
  fs::file_time_type newest_time;
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(project, ignored)) {
    const RunDirectory run{cleaned(entry.path())};
    const auto time = last_written(run);
    if (time && (!newest || *time > newest_time)) {
      newest = run;
      newest_time = *time;
    }
  }
  if (!newest) {
    throw DataError(
        cat("there is no run to ", purpose, " under ", fs::absolute(project).lexically_normal().string()),
        "Name the run directory, or its --project.");
  }
  return *newest;
}

}  // namespace

std::vector<fs::path> kept_checkpoints(const fs::path& last) {
  constexpr int kept_count = 3;
  std::vector<fs::path> files = {last};
  for (int i = 1; i < kept_count; ++i) {
    files.push_back(last.parent_path() / cat(last.stem().string(), "-", i, last.extension().string()));
  }
  return files;
}

bool has_checkpoint(const RunDirectory& run) {
  const std::vector<fs::path> kept = kept_checkpoints(run.weights_last());
  return std::any_of(kept.begin(), kept.end(), is_present);
}

fs::path RunDirectory::weights_epoch(int epoch) const {
  return weights_folder() / cat("epoch", epoch, ".pt");
}

fs::path RunDirectory::rank_log(int rank) const {
  return logs_folder() / cat("rank-", rank, ".log");
}

fs::path RunDirectory::failure_report(int attempt, int rank) const {
  return failures_folder() / cat("attempt-", attempt, ".rank-", rank, ".json");
}

std::filesystem::path RunDirectory::memory_report(int attempt, int rank, int number) const {
  return failures_folder() / cat("attempt-", attempt, ".rank-", rank, ".memory-", number, ".json");
}

std::filesystem::path RunDirectory::link_report(int attempt, int rank, int number) const {
  return failures_folder() / cat("attempt-", attempt, ".rank-", rank, ".link-", number, ".json");
}

RunDirectory create_run_directory(const fs::path& project, const std::string& name, bool exist_ok,
                                  bool trains) {
  const fs::path relative = fs::path(name).lexically_normal();
  if (name.empty() || relative.is_absolute() || !relative.has_filename() || relative == "." ||
      *relative.begin() == "..") {
    throw UsageError(cat("--name '", name, "' is not the name of a folder"),
                     "Give a word, and the place by --project.");
  }
  const fs::path wanted = project / relative;
  make_folders(wanted.parent_path());
  if (exist_ok) {
    return with_folders(wanted, trains);
  }
  for (int number = 1; number <= highest_number; ++number) {
    fs::path root = wanted;
    if (number > 1) {
      root += std::to_string(number);
    }
    if (::mkdir(root.c_str(), 0755) == 0) {
      return with_folders(root, trains);
    }
    if (errno != EEXIST) {
      throw StorageError(cat("cannot make the run directory ", root.string(), ": ", errno_text(errno)),
                         "Choose another --project.");
    }
  }
  throw StorageError(cat(wanted.string(), " and all its numbers up to ", highest_number, " are taken"),
                     "Choose another --name.");
}

RunDirectory find_run_to_resume(const fs::path& path, const fs::path& project) {
  return find_run(path, project, "resume");
}

RunDirectory find_run(const fs::path& path, const fs::path& project, const std::string& purpose) {
  if (path.empty()) {
    return newest_run(project, purpose);
  }
  std::error_code ignored;
  if (!is_present(path)) {
    const RunDirectory named{cleaned(project / path)};
    if (path.is_relative() && is_run(named)) {
      return named;
    }
    throw DataError(cat("cannot ", purpose, " ", path.string(), ": it does not exist"),
                    "Name a run directory or a checkpoint in its weights folder.");
  }
  const fs::path place = cleaned(path);
  const fs::path folder = place.parent_path();
  const bool is_folder = fs::is_directory(place, ignored);
  std::vector<RunDirectory> possible;
  if (is_folder) {
    possible = {{place}};
  }
  if (is_folder ? place.filename() == "weights" : place.filename() == "run.yaml") {
    possible.push_back({folder});
  } else if (!is_folder && folder.filename() == "weights") {
    possible.push_back({folder.parent_path()});
  }
  for (const RunDirectory& run : possible) {
    if (is_run(run) || !is_folder) {
      return run;
    }
  }
  if (is_folder) {
    throw DataError(
        cat("cannot ", purpose, " ", place.string(), ": it has neither weights/last.pt nor run.yaml"),
        "Name a run directory.");
  }
  throw DataError(
      cat("cannot ", purpose, " ", place.string(), ": it is not in the weights folder of a run"),
      purpose == "resume" ? "To start a new run from its weights, use --weights." : "Name a run directory.");
}

void write_run_yaml(const RunDirectory& run, const nlohmann::ordered_json& document) {
  nlohmann::ordered_json whole = {{"schema", schema}};
  for (const auto& [key, value] : document.items()) {
    if (key != "schema") {
      whole[key] = value;
    }
  }
  write_file_atomically(run.run_yaml(), config::to_yaml(whole));
}

void set_options(const RunDirectory& run, const std::map<std::string, int64_t>& values) {
  // Line by line, so that the order of the keys stays.
  std::vector<std::string> lines = split(read_file(run.run_yaml()), '\n');
  for (const auto& [name, value] : values) {
    const std::string begin = cat("  ", name, ": ");
    const auto line = std::find_if(lines.begin(), lines.end(),
                                   [&](const std::string& text) { return text.starts_with(begin); });
    check(line != lines.end(), cat("run.yaml has the option ", name));
    *line = cat(begin, value);
  }
  write_file_atomically(run.run_yaml(), join(lines, "\n"));
}

nlohmann::json read_run_yaml(const RunDirectory& run) {
  const std::string where = run.run_yaml().string();
  nlohmann::json document = config::from_yaml(read_file(run.run_yaml()), where);
  const auto found = document.is_object() ? document.find("schema") : document.end();
  if (found == document.end() || !found->is_number_integer()) {
    throw DataError(cat(where, ": not a run.yaml of yolodist: it has no schema"));
  }
  if (found->get<int64_t>() != schema) {
    throw DataError(cat(where, ": schema ", found->get<int64_t>(), ", this yolodist reads ", schema),
                    "Use the yolodist that wrote the run.");
  }
  return document;
}

}  // namespace yolodist::run
