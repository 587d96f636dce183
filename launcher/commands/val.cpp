// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/commands/val.h"

#include <nlohmann/json.hpp>

#include "common/base/error.h"
#include "common/base/text.h"
#include "common/config/data_set.h"
#include "launcher/cli/val_command_line.h"
#include "launcher/commands/job.h"
#include "launcher/commands/run_files.h"

namespace yolodist::commands {

protocol::Start prepare_val(config::ValOptions o, int world_size) {
  o.weights = found_weights(o.weights, "Name a checkpoint, for example runs/train/exp/weights/best.pt.");
  o.data = absolute_path(o.data);
  o.project = absolute_path(o.project);
  o.ranks = world_size;
  const config::DataSet data = config::read_data_set(o.data, o.single_cls);
  if (o.task == "test" && data.test.empty()) {
    throw DataError(cat(o.data, ": no test path, or it does not exist"),
                    "Correct test in the yaml, or validate on another split: --task val.");
  }
  const run::RunDirectory directory =
      run::create_run_directory(o.project, o.name, o.exist_ok, /*trains=*/false);
  protocol::Start start = begin_run(directory, "val", config::to_json(o), world_size);
  start.val = std::move(o);
  return start;
}

int val(const std::vector<std::string>& words) {
  const cli::ValCommandLine line = cli::parse_val(words);
  return run_command("val", words, line, cli::val_help,
                     [&line](int world_size) { return prepare_val(line.options, world_size); });
}

}  // namespace yolodist::commands
