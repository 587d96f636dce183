// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/config/train_options.h"

#include <nlohmann/json.hpp>

#include "common/base/error.h"
#include "common/config/option_fields.h"

namespace yolodist::config {
namespace {

// The one list of the fields, in two parts: everything else here walks over it. `Options` is TrainOptions,
// const or not; visit(key, member) for each.
template <typename Options, typename Visit>
void visit_recipe(Options& o, Visit&& visit) {
  visit("weights", o.weights);
  visit("cfg", o.cfg);
  visit("data", o.data);
  visit("hyp", o.hyp);
  visit("epochs", o.epochs);
  visit("batch_size", o.global_batch);
  visit("imgsz", o.imgsz_px);
  visit("rect", o.rect);
  visit("multi_scale", o.multi_scale);
  visit("single_cls", o.single_cls);
  visit("image_weights", o.image_weights);
  visit("optimizer", o.optimizer);
  visit("cos_lr", o.cos_lr);
  visit("label_smoothing", o.label_smoothing);
  visit("freeze", o.freeze);
  visit("freeze_bn", o.freeze_bn);
  visit("seed", o.seed);
  visit("bn_group", o.bn_group);
  visit("accumulate", o.accumulate);
  visit("precision", o.precision);
  visit("noautoanchor", o.no_autoanchor);
  visit("augment", o.augment);
}

template <typename Options, typename Visit>
void visit_execution(Options& o, Visit&& visit) {
  visit("project", o.project);
  visit("name", o.name);
  visit("exist_ok", o.exist_ok);
  visit("nosave", o.no_save);
  visit("noval", o.no_val);
  visit("noplots", o.no_plots);
  visit("patience", o.patience);
  visit("save_period", o.save_period);
  visit("checkpoint_every_steps", o.checkpoint_every_steps);
  visit("checkpoint_every_minutes", o.checkpoint_every_minutes);
  visit("max_checkpoint_failures", o.max_checkpoint_failures);
  visit("resume", o.resume);
  visit("resume_from", o.resume_from);
  visit("device", o.device);
  visit("ranks", o.ranks);
  visit("shard", o.shard);
  visit("threads", o.threads);
  visit("workers", o.workers);
  visit("val_batch", o.val_batch);
  visit("cache", o.cache);
  visit("cache_dir", o.cache_dir);
  visit("max_restarts", o.max_restarts);
  visit("time_limit", o.time_limit);
  visit("stop_signal", o.stop_signal);
  visit("max_steps", o.max_steps);
  visit("max_iterations", o.max_iterations);
  visit("device_memory", o.device_memory);
  visit("memory_reserve", o.memory_reserve);
  visit("recompute", o.recompute);
  visit("ignore_plan", o.ignore_plan);
  visit("allow_recipe_change", o.allow_recipe_change);
  visit("inject_shortage", o.inject_shortage);
  visit("net_if", o.net_if);
  visit("worker_prefix", o.worker_prefix);
  visit("verbose", o.verbose);
}

}  // namespace

nlohmann::ordered_json to_json(const TrainOptions& options) {
  nlohmann::ordered_json document = nlohmann::ordered_json::object();
  visit_recipe(options, FieldWriter{document});
  visit_execution(options, FieldWriter{document});
  return document;
}

TrainOptions train_options_from_json(const nlohmann::json& document) {
  TrainOptions options;
  const FieldReader read(document);
  visit_recipe(options, read);
  visit_execution(options, read);
  return options;
}

std::vector<std::string> recipe_differences(const TrainOptions& stored, const TrainOptions& asked) {
  nlohmann::ordered_json stored_recipe, asked_recipe;
  visit_recipe(stored, [&](const char* key, const auto& member) { stored_recipe[key] = member; });
  visit_recipe(asked, [&](const char* key, const auto& member) { asked_recipe[key] = member; });
  std::vector<std::string> names;
  for (const auto& [key, value] : stored_recipe.items()) {
    if (asked_recipe[key] != value) {
      names.push_back(key);
    }
  }
  return names;
}

}  // namespace yolodist::config
