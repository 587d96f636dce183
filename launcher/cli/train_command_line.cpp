// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/cli/train_command_line.h"

#include <algorithm>
#include <chrono>
#include <sstream>

#include "common/base/bytes.h"
#include "common/base/duration.h"
#include "common/base/error.h"
#include "common/base/signal_names.h"
#include "common/base/text.h"
#include "launcher/cli/description.h"
#include "launcher/cli/memory_options.h"
#include "launcher/cli/options.h"
#include "launcher/cli/train_description.h"

namespace yolodist::cli {
namespace {

namespace po = boost::program_options;
using config::TrainOptions;

// The sample run: small enough for minutes on two cores, large enough to be the real thing.
constexpr int sample_epochs = 3, sample_batch = 4, sample_imgsz_px = 1280;

// "500" = steps; "10min" = a time.
void read_checkpoint_interval(const std::string& text, TrainOptions& o) {
  const bool is_time = text.find_first_not_of("0123456789") != std::string::npos;
  if (is_time) {
    const std::chrono::seconds interval = parse_duration(text, "--checkpoint-every");
    require(interval.count() > 0, "checkpoint-every", text, "a number of steps or a time such as 10min");
    o.checkpoint_every_minutes = static_cast<double>(interval.count()) / 60;
    return;
  }
  o.checkpoint_every_steps =
      whole_number("checkpoint-every", text, 0, "a number of steps, or a time such as 10min");
}

void read_texts(const TrainTexts& t, TrainOptions& o) {
  o.bn_group = automatic_or_number("bn-group", t.bn_group);
  o.accumulate = automatic_or_number("accumulate", t.accumulate);
  o.shard = shard_of_text(t.shard);
  read_checkpoint_interval(t.checkpoint_every, o);
  o.imgsz_px = side_px(t.imgsz);
  checked_memory(o.device_memory, o.memory_reserve, o.recompute);
  o.augment = !t.no_augment;
}

void check_precision(const std::string& precision) {
  require(precision == "auto" || precision == "fp32" || precision == "fp16" || precision == "bf16" ||
              precision == "fp64",
          "precision", cat("'", precision, "'"), "auto, fp32, fp16, bf16 or fp64");
}

// "1:backward:3:50000": see worker/train/injected_shortage.h.
void check_shortage(const std::string& text) {
  if (text.empty()) {
    return;
  }
  const std::vector<std::string> parts = split(text, ':');
  require(parts.size() == 4, "inject-shortage", cat("'", text, "'"), "RANK:PHASE:ITERATION:BYTES");
  whole_number("inject-shortage", parts[0], 0, "RANK:PHASE:ITERATION:BYTES, with a rank from 0 on");
  bool is_phase = false;
  for (const char* phase : {"forward", "loss", "backward", "optimizer", "validation", "reserve"}) {
    is_phase = is_phase || parts[1] == phase;
  }
  require(is_phase, "inject-shortage", cat("in phase '", parts[1], "'"),
          "in forward, loss, backward, optimizer, validation or reserve");
  whole_number("inject-shortage", parts[2], 0, "RANK:PHASE:ITERATION:BYTES, with an iteration from 0 on");
  parse_bytes(parts[3], "--inject-shortage");
}

void check_ranges(TrainOptions& o) {
  require_at_least("epochs", o.epochs, 1);
  check_batch(o.global_batch, o.shard, o.ranks);
  require(o.label_smoothing >= 0 && o.label_smoothing < 1, "label-smoothing",
          exact_decimal(o.label_smoothing), "at least 0 and below 1");
  for (const int layer : o.freeze) {
    require_at_least("freeze", layer, 0);
  }
  require_at_least("seed", o.seed, int64_t{0});
  require_at_least("patience", o.patience, 0);
  require_at_least("max-checkpoint-failures", o.max_checkpoint_failures, 1);
  check_execution(o);
  require_at_least("val-batch", o.val_batch, 0);
  require_at_least("max-restarts", o.max_restarts, 0);
  require_at_least("max-steps", o.max_steps, 0);
  require_at_least("max-iterations", o.max_iterations, 0);
  if (!o.time_limit.empty()) {
    require(parse_duration(o.time_limit, "--time-limit").count() > 0, "time-limit", o.time_limit,
            "more than nothing");
  }
  if (!o.stop_signal.empty()) {
    stop_signal_number(o.stop_signal);
  }
  check_precision(o.precision);
  check_shortage(o.inject_shortage);
  o.optimizer = optimizer_name(o.optimizer);
}

void fill_sample(TrainCommandLine& line) {
  const auto is_given = [&](const char* name) { return line.given.contains(name); };
  TrainOptions& o = line.options;
  line.is_sample = !is_given("data") && starts_afresh(o);
  if (!line.is_sample || is_given("cfg") || !o.weights.empty()) {
    return;
  }
  o.cfg = "yolov5n";
  o.imgsz_px = is_given("imgsz") ? o.imgsz_px : sample_imgsz_px;
  o.global_batch = is_given("batch-size") ? o.global_batch : sample_batch;
  o.epochs = is_given("epochs") ? o.epochs : sample_epochs;
}

}  // namespace

TrainCommandLine parse_train(const std::vector<std::string>& words) {
  TrainCommandLine line;
  TrainOptions& o = line.options;
  TrainTexts texts;
  po::options_description description = describe_train(o, texts);
  description.add(describe_hidden(o));

  const Grammar grammar{"train", {}, train_aliases(), refused_train_options()};
  for (const GivenOption& given : parse(words, description, grammar, {"resume", "cache"})) {
    line.given.insert(given.name);
    line.words.push_back("--" + given.name);
    line.words.insert(line.words.end(), given.values.begin(), given.values.end());
  }
  line.wants_help = texts.help;
  line.wants_version = texts.version;
  if (line.wants_help || line.wants_version) {
    return line;
  }
  read_texts(texts, o);
  o.resume = line.given.contains("resume");
  o.resume_from = texts.resume;
  if (line.given.contains("cache")) {
    o.cache = texts.cache.empty() ? "ram" : texts.cache;
    require(o.cache == "ram" || o.cache == "disk", "cache", cat("'", o.cache, "'"), "ram or disk");
  }
  fill_sample(line);
  check_ranges(o);
  if (starts_afresh(o) && o.weights.empty() && o.cfg.empty()) {
    throw UsageError("neither --weights nor --cfg says which model to train",
                     "From scratch: --cfg yolov5n. From a checkpoint: --weights FILE.");
  }
  return line;
}

bool starts_afresh(const TrainOptions& o) {
  return !o.resume || o.resume_from == "auto";
}

std::string train_help() {
  TrainOptions options;
  TrainTexts texts;
  std::ostringstream stream;
  stream << describe_train(options, texts);
  stream << "\nWithout --data, --cfg and --weights: yolov5n from scratch on the shipped sample, 1280 px, "
            "batch 4, 3 "
            "epochs.\nExit codes: 0 done, 64 usage, 65 data, 69 no device, 70 bug, 71 memory, 74 storage, 75 "
            "saved on "
            "request\n(run again with --resume), 76 peers lost, 80 diverged, 128+n signal.\n";
  return stream.str();
}

std::string equivalent_command(const TrainCommandLine& line) {
  const TrainOptions& o = line.options;
  std::vector<std::string> words = {"yolodist",     "train",
                                    "--data",       o.data,
                                    "--cfg",        o.cfg,
                                    "--weights",    o.weights,
                                    "--imgsz",      std::to_string(o.imgsz_px),
                                    "--batch-size", std::to_string(o.global_batch),
                                    "--epochs",     std::to_string(o.epochs)};
  const std::set<std::string> said = {"--data", "--cfg", "--weights", "--imgsz", "--batch-size", "--epochs"};
  bool is_said = false;
  for (const std::string& word : line.words) {
    if (word.starts_with("--")) {
      is_said = said.contains(word);
    }
    if (!is_said) {
      words.push_back(word);
    }
  }
  std::transform(words.begin(), words.end(), words.begin(), shell_word);
  return join(words, " ");
}

std::string option_key(const std::string& name) {
  if (name == "checkpoint-every") {
    return "checkpoint_every_steps";
  }
  if (name == "no-augment") {
    return "augment";
  }
  std::string key = name;
  std::replace(key.begin(), key.end(), '-', '_');
  return key;
}

std::string option_of_key(const std::string& key) {
  if (key == "augment") {
    return "no-augment";
  }
  std::string name = key;
  std::replace(name.begin(), name.end(), '_', '-');
  return name;
}

}  // namespace yolodist::cli
