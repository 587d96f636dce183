// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/cli/description.h"

#include <charconv>
#include <sstream>

#include "common/base/error.h"

namespace yolodist::cli {

namespace po = boost::program_options;

namespace {

constexpr unsigned help_columns = 110;
constexpr unsigned help_text_columns = 70;

std::vector<KnownOption> known_options(const po::options_description& description,
                                       const std::set<std::string>& with_optional_value) {
  std::vector<KnownOption> known;
  for (const auto& option : description.options()) {
    Arity arity = Arity::one;
    if (with_optional_value.contains(option->long_name())) {
      arity = Arity::optional;
    } else if (option->semantic()->max_tokens() == 0) {
      arity = Arity::none;
    } else if (option->semantic()->max_tokens() > 1) {
      arity = Arity::several;
    }
    known.push_back({option->long_name(), arity});
  }
  return known;
}

}  // namespace

po::options_description group(const std::string& caption) {
  return po::options_description(caption, help_columns, help_text_columns);
}

void add(po::options_description& to, const char* name, const po::value_semantic* semantic,
         const char* help) {
  to.add_options()(name, semantic, help);
}

po::typed_value<std::string>* text(std::string& field, const char* placeholder) {
  return po::value<std::string>(&field)
      ->default_value(field, field.empty() ? "''" : field)
      ->value_name(placeholder);
}

po::typed_value<bool>* flag(bool& field) {
  return po::bool_switch(&field);
}

po::typed_value<double>* number(double& field, const char* placeholder) {
  return po::value<double>(&field)->default_value(field, exact_decimal(field))->value_name(placeholder);
}

void add_run_directory(po::options_description& to, std::string& project, std::string& name, bool& exist_ok) {
  add(to, "project", text(project, "FOLDER"), "folder of the run directories");
  add(to, "name", text(name, "NAME"), "run directory; name2, name3, … if it exists");
  add(to, "exist-ok", flag(exist_ok), "use the run directory even if it exists");
}

po::options_description describe_execution(config::ExecutionOptions& options) {
  po::options_description execution = group("Execution: never changes the result beyond rounding");
  add(execution, "device", text(options.device, "cpu|cuda|0,1"),
      "'' = all visible GPUs, or the CPU if there is none");
  add(execution, "ranks", value(options.ranks, "N"), "without mpirun: ranks to start; 0 = one a device");
  add(execution, "threads", value(options.threads, "N"),
      "compute threads a rank; 0 = allowed cores / ranks of the host");
  add(execution, "workers", value(options.workers, "N"), "decoding threads a rank, at most");
  add(execution, "net-if", text(options.net_if, "NAME|CIDR"),
      "network between hosts for MPI and NCCL: ib0, or 10.0.0.0/24; '' = their own choice");
  add(execution, "worker-prefix", text(options.worker_prefix, "'CMD ...'"),
      "put before the worker: gdb, nsys, apptainer exec");
  return execution;
}

void check_execution(const config::ExecutionOptions& options) {
  require_at_least("ranks", options.ranks, 0);
  require_at_least("threads", options.threads, 0);
  require_at_least("workers", options.workers, 0);
}

po::options_description describe_other(bool& help, bool& version) {
  po::options_description other = group("Other");
  add(other, "help", flag(help), "this text");
  add(other, "version", flag(version), "versions of this program and its libraries");
  return other;
}

void add_weights(po::options_description& to, CheckpointTexts& texts) {
  add(to, "weights", po::value(&texts.weights)->multitoken()->value_name("FILE"),
      "checkpoint: of yolodist or an official .pt");
}

void add_limits(po::options_description& to, double& confidence, double& iou, int& max_detections) {
  add(to, "conf-thres", number(confidence, "X"), "least confidence of a detection (also --conf)");
  add(to, "iou-thres", number(iou, "X"), "overlap at which NMS drops a box (also --iou)");
  add(to, "max-det", value(max_detections, "N"), "most detections of a picture");
}

std::string checkpoint_help(const po::options_description& description) {
  std::ostringstream stream;
  stream << description;
  stream
      << "\nExit codes: 0 done, 64 usage, 65 data or weights, 69 no device, 70 bug, 71 memory, 74 storage, "
         "76 peers\nlost, 128+n ended by signal n.\n";
  return stream.str();
}

std::vector<GivenOption> parse(const std::vector<std::string>& words,
                               const po::options_description& description, Grammar grammar,
                               const std::set<std::string>& with_optional_value) {
  grammar.known = known_options(description, with_optional_value);
  std::vector<GivenOption> given = read_options(words, grammar);
  po::parsed_options parsed(&description);
  for (const GivenOption& option : given) {
    if (option.name.empty()) {
      continue;
    }
    const bool stands_alone = with_optional_value.contains(option.name) && option.values.empty();
    parsed.options.emplace_back(option.name, stands_alone ? std::vector<std::string>{""} : option.values);
  }
  try {
    po::variables_map values;
    po::store(parsed, values);
    po::notify(values);
  } catch (const po::error& error) {
    throw UsageError(error.what(), cat("yolodist ", grammar.command, " --help lists all options."));
  }
  return given;
}

void require(bool claim, const char* option, const std::string& value, const char* allowed) {
  if (!claim) {
    throw UsageError(cat("--", option, " is ", value, ", should be ", allowed));
  }
}

void require_share(const char* option, double value) {
  require(value >= 0 && value <= 1, option, exact_decimal(value), "from 0 to 1");
}

int whole_number(const char* option, const std::string& word, int least, const char* allowed) {
  int number = 0;
  const auto result = std::from_chars(word.data(), word.data() + word.size(), number);
  require(result.ec == std::errc() && result.ptr == word.data() + word.size() && number >= least, option,
          cat("'", word, "'"), allowed);
  return number;
}

std::string only_weights(const std::vector<std::string>& weights) {
  if (weights.size() > 1) {
    throw UsageError(cat("--weights names ", weights.size(), " files: ensembles are not supported"),
                     "Give one checkpoint.");
  }
  if (weights.empty() || weights[0].empty()) {
    throw UsageError("no --weights: of which checkpoint?",
                     "For example --weights runs/train/exp/weights/best.pt");
  }
  return weights[0];
}

int side_px(const std::string& word) {
  if (word.find(':') != std::string::npos) {
    throw UsageError(cat("--imgsz ", word, ": progressive sides are not supported yet"), "Give one side.");
  }
  constexpr int smallest_side_px = 32;  // the largest stride of every model is a multiple of it
  return whole_number("imgsz", word, smallest_side_px, "a side of at least 32 pixels");
}

}  // namespace yolodist::cli
