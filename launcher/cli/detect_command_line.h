// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "common/config/detect_options.h"
#include "launcher/cli/options.h"

namespace yolodist::cli {

// What `yolodist detect …` asks for.
struct DetectCommandLine {
  config::DetectOptions options;
  bool wants_help = false;
  bool wants_version = false;
};

// `words` are those after the command. Throws UsageError for everything that can be judged without looking at
// files or devices: also for a source that is a camera, an address, a screen or a video.
DetectCommandLine parse_detect(const std::vector<std::string>& words);

std::string detect_help();

// The options of YOLOv5's detect.py that detect does not have.
const std::vector<RefusedOption>& refused_detect_options();

}  // namespace yolodist::cli
