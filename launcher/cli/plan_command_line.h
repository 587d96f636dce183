// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "launcher/cli/options.h"

namespace yolodist::cli {

// What `yolodist plan …` asks for. Names are train's where train has the option.
struct PlanOptions {
  std::vector<std::string> models;  // shipped names or files; "all" = all shipped ones
  std::vector<int> sides_px = {640};
  int global_batch = 16;                           // -1 = the largest that fits
  int ranks = 0;                                   // 0 = one a card or device
  std::vector<std::string> cards;                  // one for all ranks, or one each; empty = this machine
  std::string cards_file;                          // "" = the shipped one
  std::string device;                              // as in train
  std::vector<int64_t> device_memory_bytes = {0};  // one for all ranks, or one each
  std::string memory_reserve = "0";
  std::string precision = "auto";
  std::string optimizer = "SGD";
  std::string recompute = "auto";
  bool allow_recipe_change = false;
  int bn_group = 0;    // 0 = auto
  int accumulate = 0;  // 0 = auto
  std::vector<int> shard;
  int val_batch = 0;  // 0 = twice the batch
  bool multi_scale = false;
  int class_count = 0;  // 0 = the model yaml's
  int targets = 100;    // boxes of the densest picture, as augmentation makes it
  bool json = false;
  bool verbose = false;
};

struct PlanCommandLine {
  PlanOptions options;
  bool wants_help = false;
  bool wants_version = false;
};

// `words` are those after the command. Throws UsageError for what can be judged without files and devices.
PlanCommandLine parse_plan(const std::vector<std::string>& words);

std::string plan_help();

const std::vector<RefusedOption>& refused_plan_options();

}  // namespace yolodist::cli
