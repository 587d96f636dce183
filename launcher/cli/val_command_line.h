// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "common/config/val_options.h"
#include "launcher/cli/options.h"

namespace yolodist::cli {

// What `yolodist val …` asks for.
struct ValCommandLine {
  config::ValOptions options;
  bool wants_help = false;
  bool wants_version = false;
};

// `words` are those after the command. What an option implies is filled in: the thresholds of --task speed,
// --save-txt of --save-hybrid, --save-json of a data yaml called coco.yaml. Throws UsageError for everything
// that can be judged without looking at files or devices.
ValCommandLine parse_val(const std::vector<std::string>& words);

std::string val_help();

// The options of YOLOv5's val.py that val does not have.
const std::vector<RefusedOption>& refused_val_options();

}  // namespace yolodist::cli
