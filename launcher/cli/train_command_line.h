// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <set>
#include <string>
#include <vector>

#include "common/config/train_options.h"

namespace yolodist::cli {

// What `yolodist train …` asks for.
struct TrainCommandLine {
  config::TrainOptions options;
  std::set<std::string> given;     // names of the options that stood there
  std::vector<std::string> words;  // the same, as full names and values
  bool wants_help = false;
  bool wants_version = false;
  bool is_sample = false;  // no --data: the shipped sample; options.data is still empty
};

// `words` are those after the command. With no --data, --cfg, --weights: the shipped sample, yolov5n from
// scratch at 1280 px, batch 4, 3 epochs, each unless given. Throws UsageError for everything that can be
// judged without looking at files or devices.
TrainCommandLine parse_train(const std::vector<std::string>& words);

// Without --resume; with --resume auto it may do so, if it finds no run.
bool starts_afresh(const config::TrainOptions& options);

std::string train_help();

// The command line in full that a run without --data stands for.
std::string equivalent_command(const TrainCommandLine& line);

// The key of common/config's JSON that holds option `name`.
std::string option_key(const std::string& name);
// The option that sets the field `key` of a recipe.
std::string option_of_key(const std::string& key);

}  // namespace yolodist::cli
