// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/program_options.hpp>
#include <string>
#include <vector>

#include "common/config/train_options.h"
#include "launcher/cli/options.h"

namespace yolodist::cli {

// Options whose text on the command line is not yet their value.
struct TrainTexts {
  std::string bn_group = "auto", accumulate = "auto", shard = "auto", imgsz = "640";
  std::string checkpoint_every = "0";
  std::string resume;
  std::string cache;
  bool no_augment = false, help = false, version = false;
};

// The options of train with YOLOv5's defaults and their help, grouped; parsing fills `options` and `texts`.
boost::program_options::options_description describe_train(config::TrainOptions& options, TrainTexts& texts);

// Options for tests, which --help does not list.
boost::program_options::options_description describe_hidden(config::TrainOptions& options);

// Other names of them, and the options that train does not have.
const std::vector<Alias>& train_aliases();
const std::vector<RefusedOption>& refused_train_options();

}  // namespace yolodist::cli
