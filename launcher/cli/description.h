// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/program_options.hpp>
#include <set>
#include <string>
#include <vector>

#include "common/base/text.h"
#include "common/config/execution_options.h"
#include "launcher/cli/options.h"

// What the command lines of all commands are described, read and checked with.
namespace yolodist::cli {

// A group of options under a caption of --help.
boost::program_options::options_description group(const std::string& caption);
void add(boost::program_options::options_description& to, const char* name,
         const boost::program_options::value_semantic* semantic, const char* help);
// Bound to `field`, whose value is the default.
boost::program_options::typed_value<std::string>* text(std::string& field, const char* placeholder);
boost::program_options::typed_value<bool>* flag(bool& field);
template <typename T>
boost::program_options::typed_value<T>* value(T& field, const char* placeholder) {
  return boost::program_options::value<T>(&field)->default_value(field)->value_name(placeholder);
}
// The same with the default as few digits as it takes: 0.45.
boost::program_options::typed_value<double>* number(double& field, const char* placeholder);

// Options that several commands have, with the same help.
void add_run_directory(boost::program_options::options_description& to, std::string& project,
                       std::string& name, bool& exist_ok);
boost::program_options::options_description describe_execution(config::ExecutionOptions& options);
void check_execution(const config::ExecutionOptions& options);
// --help and --version.
boost::program_options::options_description describe_other(bool& help, bool& version);

// Of val and detect: options whose text on the command line is not yet their value.
struct CheckpointTexts {
  std::vector<std::string> weights;
  std::string imgsz = "640";
  bool help = false, version = false;
};
void add_weights(boost::program_options::options_description& to, CheckpointTexts& texts);
// The thresholds of what counts as found.
void add_limits(boost::program_options::options_description& to, double& confidence, double& iou,
                int& max_detections);
// All of their --help: the description and the exit codes.
std::string checkpoint_help(const boost::program_options::options_description& description);

// Reads `words` by the description into the fields that it is bound to. `grammar.known` is filled in from the
// description; the options in `with_optional_value` may stand without one, which is then "". Throws
// UsageError.
std::vector<GivenOption> parse(const std::vector<std::string>& words,
                               const boost::program_options::options_description& description,
                               Grammar grammar, const std::set<std::string>& with_optional_value = {});

// What must hold of an option's value; throws UsageError "--epochs is 0, should be at least 1".
void require(bool claim, const char* option, const std::string& value, const char* allowed);
template <typename Number>
void require_at_least(const char* option, Number value, Number least) {
  require(value >= least, option, std::to_string(value), cat("at least ", least).c_str());
}
// Of a threshold: from 0 to 1.
void require_share(const char* option, double value);
int whole_number(const char* option, const std::string& word, int least, const char* allowed);
// The values of --weights, of which there has to be one.
std::string only_weights(const std::vector<std::string>& weights);
// The text of --imgsz: one side.
int side_px(const std::string& word);

}  // namespace yolodist::cli
