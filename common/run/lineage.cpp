// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/run/lineage.h"

#include <nlohmann/json.hpp>

#include "common/base/error.h"
#include "common/base/text.h"

namespace yolodist::run {
namespace {

namespace fs = std::filesystem;

std::string variable(const GetVariable& get, const char* name) {
  const char* value = get(name);
  return value == nullptr ? "" : value;
}

bool has_lineage(const RunDirectory& run, const std::string& lineage) {
  try {
    return read_run_yaml(run).value("lineage", "") == lineage;
  } catch (const nlohmann::json::exception&) {
    return false;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace

std::string scheduler_job(const GetVariable& get) {
  const std::string array = variable(get, "SLURM_ARRAY_JOB_ID"), task = variable(get, "SLURM_ARRAY_TASK_ID");
  const bool is_array = !array.empty() && !task.empty();
  const std::string job = is_array ? cat(array, "_", task) : variable(get, "SLURM_JOB_ID");
  if (job.empty()) {
    return "";
  }
  const std::string cluster = variable(get, "SLURM_CLUSTER_NAME");
  return cat("slurm ", cluster.empty() ? "" : cat(cluster, " "), job);
}

std::string lineage_of(const std::string& given_name, const GetVariable& get) {
  if (given_name.empty()) {
    return scheduler_job(get);
  }
  const std::string task = variable(get, "SLURM_ARRAY_TASK_ID");
  return cat("name ", given_name, task.empty() ? "" : cat(" task ", task));
}

std::optional<RunDirectory> find_lineage(const fs::path& folder, const std::string& lineage) {
  std::optional<RunDirectory> newest;
  fs::file_time_type newest_time;
  std::error_code failure, ignored;
  const fs::directory_iterator entries(folder, failure);
  if (failure && failure != std::errc::no_such_file_or_directory) {
    throw StorageError(cat("cannot look for runs in ", folder.string(), ": ", failure.message()),
                       "Is the file system there, and may it be read?");
  }
  for (const fs::directory_entry& entry : entries) {
    const RunDirectory run{entry.path()};
    const fs::file_time_type time = fs::last_write_time(run.run_yaml(), ignored);
    if (!ignored && has_lineage(run, lineage) && (!newest || time > newest_time)) {
      newest = run;
      newest_time = time;
    }
  }
  return newest;
}

}  // namespace yolodist::run
