// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/commands/run_files.h"

#include <array>
#include <ctime>
#include <filesystem>

#include "common/base/error.h"
#include "common/base/host_name.h"
#include "common/base/text.h"
#include "common/config/share_folder.h"
#include "launcher/cli/version.h"
#include "launcher/mpi/launch_environment.h"

namespace yolodist::commands {
namespace {

namespace fs = std::filesystem;

std::string now_text() {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  std::array<char, 64> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S%z", &local);
  return text.data();
}

}  // namespace

std::string absolute_path(const std::string& path) {
  return fs::absolute(path).lexically_normal().string();
}

std::string found_weights(const std::string& weights, const std::string& hint) {
  std::error_code ignored;
  if (fs::is_regular_file(weights, ignored)) {
    return absolute_path(weights);
  }
  const std::string name = fs::path(weights).filename().string();
  for (const char* size : {"n", "s", "m", "l", "x"}) {
    for (const char* p6 : {"", "6"}) {
      if (name == cat("yolov5", size, p6, ".pt")) {
        throw DataError(cat("--weights ", weights, ": no such file"),
                        cat("Official weights (AGPL-3.0) are fetched by: curl -L -o ", weights,
                            " https://github.com/ultralytics/yolov5/releases/download/v7.0/", name));
      }
    }
  }
  throw DataError(cat("--weights ", weights, ": no such file"), hint);
}

void write_run(const run::RunDirectory& directory, const RunRecord& record) {
  const cli::BuildVersions& build = cli::build_versions();
  nlohmann::ordered_json document;
  document["command"] = record.command;
  document["versions"] = {{"yolodist", build.yolodist}, {"git", build.git},
                          {"libtorch", build.libtorch}, {"cuda", build.cuda},
                          {"nccl", build.nccl},         {"mpi", mpi::library_version()}};
  document["started"] = record.started.empty() ? now_text() : record.started;
  document["host"] = host_name();
  document["world_size"] = record.world_size;
  if (!record.lineage.empty()) {
    document["lineage"] = record.lineage;
  }
  document["resumed_count"] = record.resumed_count;
  document["options"] = record.options;
  run::write_run_yaml(directory, document);
}

protocol::Start begin_run(const run::RunDirectory& directory, const std::string& command,
                          const nlohmann::ordered_json& options, int world_size) {
  write_run(directory, {.command = command,
                        .options = options,
                        .world_size = world_size,
                        .lineage = "",
                        .started = "",
                        .resumed_count = 0});
  protocol::Start start;
  start.command = command;
  start.run_directory = absolute_path(directory.root.string());
  start.share_folder = absolute_path(config::share_folder().string());
  return start;
}

}  // namespace yolodist::commands
