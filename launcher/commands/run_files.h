// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "common/protocol/messages.h"
#include "common/run/run_directory.h"

// The files that a command line names and that a run begins with, for every command.
namespace yolodist::commands {

std::string absolute_path(const std::string& path);

// --weights as an absolute path. Throws DataError when it is not there: with the address of official weights
// by their name, else with `hint`.
std::string found_weights(const std::string& weights, const std::string& hint);

// What run.yaml says of a run.
struct RunRecord {
  std::string command;
  nlohmann::ordered_json options;  // resolved
  int world_size = 1;
  std::string lineage;  // for --resume auto; "" = none
  std::string started;  // "" = now
  int resumed_count = 0;
};
void write_run(const run::RunDirectory& directory, const RunRecord& record);

// Begins a run that trains nothing, in its new directory: writes run.yaml and returns what the workers are
// told, to which the caller adds the options themselves.
protocol::Start begin_run(const run::RunDirectory& directory, const std::string& command,
                          const nlohmann::ordered_json& options, int world_size);

}  // namespace yolodist::commands
