// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/commands/prepare_run.h"

#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "common/base/bytes.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/text.h"
#include "common/config/data_set.h"
#include "common/config/hyperparameters.h"
#include "common/config/share_folder.h"
#include "common/model_spec/model_spec.h"
#include "common/run/lineage.h"
#include "common/run/ownership.h"
#include "common/run/run_directory.h"
#include "launcher/commands/run_files.h"

namespace yolodist::commands {
namespace {

namespace fs = std::filesystem;
using config::TrainOptions;
using nlohmann::json;
using nlohmann::ordered_json;

// A shipped name stays a name, so that a run goes on under another installation; a file becomes absolute.
std::string shipped_name_or_path(const std::string& given, const char* kind) {
  const fs::path found = config::find_shipped(given, kind);
  std::error_code ignored;
  const bool is_shipped = fs::equivalent(found.parent_path(), config::share_folder() / kind, ignored);
  return is_shipped ? found.stem().string() : absolute_path(found.string());
}

void resolve_paths(TrainOptions& o) {
  o.data = absolute_path(o.data);
  o.hyp = shipped_name_or_path(o.hyp, "hyps");
  o.cfg = o.cfg.empty() ? "" : shipped_name_or_path(o.cfg, "models");
  o.weights = o.weights.empty()
                  ? ""
                  : found_weights(o.weights, "For training from scratch: --weights '' --cfg yolov5n.");
}

// Reads what the workers will read, so that a mistake ends the job before they start.
void check_files(const TrainOptions& o) {
  const config::DataSet data = config::read_data_set(o.data, o.single_cls);
  config::read_hyperparameters(config::find_shipped(o.hyp, "hyps"));
  if (!o.cfg.empty()) {
    // The data set says how many classes there are, as in YOLOv5.
    model_spec::read_model_spec(config::find_shipped(o.cfg, "models"), data.class_count());
  }
}

void check_shard(const TrainOptions& o, int world_size) {
  if (!o.shard.empty() && static_cast<int>(o.shard.size()) != world_size) {
    throw UsageError(cat("--shard is for ", o.shard.size(), " ranks, but there are ", world_size),
                     "Give one number a rank, or leave it out for even shards.");
  }
}

void check_budgets(const TrainOptions& o, int world_size) {
  const size_t count = parse_bytes_list(o.device_memory, "--device-memory").size();
  if (count != 1 && count != static_cast<size_t>(world_size)) {
    throw UsageError(cat("--device-memory is for ", count, " ranks, but there are ", world_size),
                     "Give one for all, or one for each.");
  }
}

const char* variable(const char* name) {
  return std::getenv(name);
}

std::string lineage_of(const cli::TrainCommandLine& line) {
  return run::lineage_of(line.given.contains("name") ? line.options.name : "", variable);
}

// Takes the run for this job; from now on an older one may not write there. Returns the token.
std::string take_run(const run::RunDirectory& directory) {
  const run::Owner self = run::this_process(run::scheduler_job(variable));
  const std::optional<run::Owner> other = run::living_owner(directory, self, [](const run::Owner& owner) {
    log::info(cat("this run was in use by ", to_text(owner), " a moment ago; looking for up to ",
                  run::owner_silence.count(), " s whether it still is"));
  });
  if (other) {
    throw UsageError(cat(directory.root.string(), " is in use by ", to_text(*other)),
                     "Stop that one first (yolodist stop RUN), or give this one a --name of its own.");
  }
  std::string token = run::claim_run(directory);
  run::write_owner(directory, self);
  std::error_code not_there;
  fs::remove(directory.stop_file(), not_there);  // of a stop that came too late for the run before
  return token;
}

RunPlan prepare_fresh(const cli::TrainCommandLine& line, int world_size) {
  RunPlan plan;
  plan.options = resolve_fresh(line, world_size);
  plan.options.resume = false;  // --resume auto had nothing to resume
  plan.options.resume_from = "";
  if (line.is_sample) {
    cli::TrainCommandLine whole = line;
    whole.options = plan.options;
    log::info(cat("no --data: the shipped sample. This stands for\n  ", cli::equivalent_command(whole)));
  }
  std::string name = plan.options.name;
  if (name == "cfg" && !plan.options.cfg.empty()) {
    name = fs::path(plan.options.cfg).stem().string();  // as YOLOv5
  }
  plan.options.name = name;
  plan.options.project = absolute_path(plan.options.project);
  const run::RunDirectory directory =
      run::create_run_directory(plan.options.project, name, plan.options.exist_ok);
  plan.run_directory = absolute_path(directory.root.string());
  plan.run_token = take_run(directory);
  write_run(directory, {.command = "train",
                        .options = config::to_json(plan.options),
                        .world_size = world_size,
                        .lineage = lineage_of(line),
                        .started = "",
                        .resumed_count = 0});
  return plan;
}

// --resume auto: the run that an earlier start of the same job, or of the same --name, began; nothing if this
// is the first one.
std::optional<run::RunDirectory> find_own_run(const cli::TrainCommandLine& line) {
  const std::string lineage = lineage_of(line);
  if (lineage.empty()) {
    throw UsageError(
        "--resume auto does not know which run is meant: there is neither --name nor a SLURM job",
        "Give the run a --name, the same at each start.");
  }
  const fs::path folder = (fs::path(line.options.project) / line.options.name).parent_path();
  const std::optional<run::RunDirectory> found = run::find_lineage(folder, lineage);
  if (!found && variable("SLURM_RESTART_COUNT") != nullptr) {
    log::warning(
        "this job was requeued, but its run is not there: was it moved, or begun in another folder?");
  }
  if (!found) {
    log::info(cat("--resume auto: no run of ", lineage, " under ",
                  fs::absolute(folder).lexically_normal().string(), " yet, so this is its first start"));
  }
  return found;
}

RunPlan prepare_resumed(const cli::TrainCommandLine& line, const run::RunDirectory& directory,
                        int world_size) {
  const json document = run::read_run_yaml(directory);
  if (!document.contains("options") || document.value("command", "train") != "train") {
    throw DataError(cat(directory.run_yaml().string(), ": not of a training run"),
                    "Name the run directory of a training run.");
  }
  RunPlan plan;
  plan.options = resolve_resumed(config::train_options_from_json(document.at("options")), line, world_size);
  check_files(plan.options);
  plan.run_directory = absolute_path(directory.root.string());
  const fs::path named = line.options.resume_from;
  std::error_code ignored;
  if (named.extension() == ".pt" && fs::is_regular_file(named, ignored)) {
    plan.resume_checkpoint = absolute_path(named.string());
  } else if (run::has_checkpoint(directory)) {  // the workers take the newest that can be read
    plan.resume_checkpoint = absolute_path(directory.weights_last().string());
  }
  log::info(plan.resume_checkpoint.empty()
                ? cat("resuming ", plan.run_directory, ": it has no checkpoint yet, so it starts afresh")
                : cat("resuming from ", plan.resume_checkpoint));
  plan.run_token = take_run(directory);
  write_run(directory, {.command = "train",
                        .options = config::to_json(plan.options),
                        .world_size = world_size,
                        .lineage = document.value("lineage", ""),
                        .started = document.value("started", ""),
                        .resumed_count = document.value("resumed_count", 0) + 1});
  return plan;
}

}  // namespace

config::TrainOptions resolve_fresh(const cli::TrainCommandLine& line, int world_size) {
  TrainOptions o = line.options;
  if (line.is_sample) {
    o.data = (config::share_folder() / "sample" / "sample.yaml").string();
  }
  resolve_paths(o);
  check_shard(o, world_size);
  check_budgets(o, world_size);
  check_files(o);
  o.ranks = world_size;
  // With a batch of -1 the workers settle both.
  if (o.bn_group == 0 && o.global_batch > 0) {
    o.bn_group = (o.global_batch + world_size - 1) / world_size;
  }
  return o;
}

config::TrainOptions resolve_resumed(const config::TrainOptions& stored, const cli::TrainCommandLine& line,
                                     int world_size) {
  // How it is executed is a matter of this start; the rest is as stored unless said otherwise now.
  TrainOptions base = stored;
  base.device = line.options.device;
  base.threads = line.options.threads;
  base.shard = line.options.shard;
  base.max_restarts = line.options.max_restarts;
  base.time_limit = line.options.time_limit;
  base.stop_signal = line.options.stop_signal;
  base.max_steps = line.options.max_steps;
  base.max_iterations = line.options.max_iterations;
  base.net_if = line.options.net_if;
  base.worker_prefix = line.options.worker_prefix;
  base.device_memory = line.options.device_memory;
  base.ignore_plan = line.options.ignore_plan;
  base.memory_reserve = line.options.memory_reserve;
  base.recompute = line.options.recompute;
  base.allow_recipe_change = line.options.allow_recipe_change;
  base.inject_shortage = line.options.inject_shortage;
  base.verbose = line.options.verbose;
  base.resume = true;
  base.resume_from = line.options.resume_from;
  base.ranks = world_size;

  TrainOptions said = line.options;
  if (line.given.contains("data")) {
    said.data = absolute_path(said.data);
  }
  if (line.given.contains("hyp")) {
    said.hyp = shipped_name_or_path(said.hyp, "hyps");
  }
  if (line.given.contains("cfg") && !said.cfg.empty()) {
    said.cfg = shipped_name_or_path(said.cfg, "models");
  }
  if (line.given.contains("weights") && !said.weights.empty()) {
    said.weights = absolute_path(said.weights);
  }
  if (said.global_batch == -1) {
    said.global_batch = stored.global_batch;
  }
  if (said.bn_group == 0) {
    said.bn_group = stored.bn_group;  // auto: as the run began
  }
  if (line.given.contains("checkpoint-every")) {  // one option, two fields
    base.checkpoint_every_minutes = line.options.checkpoint_every_minutes;
  }
  ordered_json merged = config::to_json(base);
  const ordered_json now = config::to_json(said);
  for (const std::string& name : line.given) {
    const bool is_place_of_run = name == "project" || name == "name" || name == "resume" || name == "ranks";
    if (const std::string key = cli::option_key(name); !is_place_of_run && now.contains(key)) {
      merged[key] = now.at(key);
    }
  }
  const TrainOptions asked = config::train_options_from_json(merged);
  std::vector<std::string> changed;
  for (const std::string& key : config::recipe_differences(stored, asked)) {
    changed.push_back(cat("--", cli::option_of_key(key), " was ",
                          json(config::to_json(stored)).at(key).dump(), ", now ", merged.at(key).dump()));
  }
  if (!changed.empty()) {
    throw UsageError(cat("--resume cannot change the recipe: ", join(changed, "; ")),
                     "Leave it out to go on as the run began, or start a new run without --resume.");
  }
  check_shard(asked, world_size);
  check_budgets(asked, world_size);
  return asked;
}

RunPlan prepare_run(const cli::TrainCommandLine& line, int world_size) {
  const config::TrainOptions& o = line.options;
  std::optional<run::RunDirectory> directory;
  if (o.resume) {
    directory =
        cli::starts_afresh(o) ? find_own_run(line) : run::find_run_to_resume(o.resume_from, o.project);
  }
  RunPlan plan = directory ? prepare_resumed(line, *directory, world_size) : prepare_fresh(line, world_size);
  plan.share_folder = absolute_path(config::share_folder().string());
  return plan;
}

protocol::Start start_of(const RunPlan& plan) {
  protocol::Start start;
  start.command = "train";
  start.options = plan.options;
  start.run_directory = plan.run_directory;
  start.run_token = plan.run_token;
  start.share_folder = plan.share_folder;
  start.resume_checkpoint = plan.resume_checkpoint;
  return start;
}

}  // namespace yolodist::commands
