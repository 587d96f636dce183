// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/commands/detect.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "common/base/error.h"
#include "common/base/text.h"
#include "common/config/data_set.h"
#include "launcher/cli/detect_command_line.h"
#include "launcher/commands/job.h"
#include "launcher/commands/run_files.h"

namespace yolodist::commands {

protocol::Start prepare_detect(config::DetectOptions o, int world_size) {
  o.weights = found_weights(o.weights, "Name a checkpoint, for example runs/train/exp/weights/best.pt.");
  std::error_code ignored;
  const bool is_pattern = o.source.find_first_of("*?") != std::string::npos;
  if (!is_pattern && !std::filesystem::exists(o.source, ignored)) {
    throw DataError(cat("--source ", o.source, ": no such file or folder"),
                    "Name a picture, a folder, a pattern ('*.jpg') or a list of pictures.");
  }
  o.source = absolute_path(o.source);
  if (!o.data.empty()) {
    config::read_class_names(o.data);
    o.data = absolute_path(o.data);
  }
  o.project = absolute_path(o.project);
  o.ranks = world_size;
  const run::RunDirectory directory =
      run::create_run_directory(o.project, o.name, o.exist_ok, /*trains=*/false);
  protocol::Start start = begin_run(directory, "detect", config::to_json(o), world_size);
  start.detect = std::move(o);
  return start;
}

int detect(const std::vector<std::string>& words) {
  const cli::DetectCommandLine line = cli::parse_detect(words);
  return run_command("detect", words, line, cli::detect_help,
                     [&line](int world_size) { return prepare_detect(line.options, world_size); });
}

}  // namespace yolodist::commands
