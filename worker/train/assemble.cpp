// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/train/assemble.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "common/base/atomic_file.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/text.h"
#include "common/config/share_folder.h"
#include "common/model_spec/model_spec.h"
#include "common/plan/report.h"
#include "common/plan/summary.h"
#include "common/run/ownership.h"
#include "worker/checkpoint/kept_checkpoints.h"
#include "worker/data/sampler.h"
#include "worker/memory/meter.h"
#include "worker/model/initialise.h"
#include "worker/model/summary.h"
#include "worker/telemetry/metrics_jsonl.h"
#include "worker/telemetry/results_csv.h"
#include "worker/train/injected_shortage.h"
#include "worker/train/network_check.h"
#include "worker/train/planning.h"
#include "worker/train/prepare_data.h"
#include "worker/train/saving.h"
#include "worker/train/start_check.h"

namespace yolodist::train {
namespace {

// Sets the dtypes of parameters and of activations.
void settle_precision(Training& t) {
  t.dtype = t.compute_dtype = at::kFloat;
  switch (plan::precision_named(t.options.precision, t.device.is_cuda())) {
    case plan::Precision::fp32:
      break;
    case plan::Precision::fp64:
      if (!t.device.is_cpu()) {
        throw UsageError(cat("--precision fp64 is not there on ", t.device.str()),
                         "fp64 is for the CPU; everywhere there are auto, fp32, fp16 and bf16.");
      }
      t.dtype = t.compute_dtype = at::kDouble;
      break;
    case plan::Precision::bf16:
      t.compute_dtype = at::kBFloat16;
      break;
    case plan::Precision::fp16:
      t.compute_dtype = at::kHalf;
      t.scaler = std::make_unique<optim::GradScaler>(t.device, optim::GradScaler::Settings());
      break;
  }
}

// YOLOv5 raises a side to a whole number of the largest stride.
int fitting_side(int imgsz_px, int max_stride_px) {
  const int stride = std::max(max_stride_px, 32);
  const int side = std::max((imgsz_px + stride - 1) / stride * stride, 2 * stride);
  if (side != imgsz_px) {
    log::info(cat("--img ", imgsz_px, " is not a multiple of the model's largest stride ", stride,
                  ": training at ", side));
  }
  return side;
}

// The layer table, from --cfg or from the checkpoint; and the side that fits it.
model_spec::ModelSpec settle_model(Training& t, const std::optional<checkpoint::Checkpoint>& weights) {
  const int classes = t.data_set.class_count();
  model_spec::ModelSpec spec;
  if (!t.options.cfg.empty()) {
    const std::filesystem::path file = config::find_shipped(t.options.cfg, "models");
    spec = model_spec::read_model_spec(file, classes);
    const int own_classes = model_spec::read_model_spec(file).class_count;
    if (own_classes != classes && t.is_leader()) {
      log::info(cat("Overriding ", file.filename().string(), " nc=", own_classes, " with nc=", classes));
    }
  } else {
    if (!weights || !weights->meta.contains("model_yaml")) {
      throw UsageError(cat("--weights ", t.options.weights, " does not say which model it is of"),
                       "Add --cfg, for example --cfg yolov5s.");
    }
    spec = model_spec::parse_model_spec(weights->meta.at("model_yaml").get<std::string>(), t.options.weights,
                                        classes);
    spec.name = weights->meta.value("model_name", spec.name);
  }
  t.imgsz_px = fitting_side(t.options.imgsz_px, spec.max_stride_px());
  return spec;
}

void build_model(Training& t, model_spec::ModelSpec spec,
                 const std::optional<checkpoint::Checkpoint>& weights) {
  t.model = std::make_unique<model::Model>(std::move(spec), t.dtype, t.compute_dtype);
  t.plan_request.spec = &t.model->spec;
  model::initialise(*t.model, static_cast<uint64_t>(t.options.seed));
  if (t.is_leader()) {
    log::info(model::summary(*t.model));
  }
  if (weights) {
    const int taken = transfer(*t.model, *weights, /*skip_anchors=*/!t.options.cfg.empty());
    if (t.is_leader()) {
      log::info(cat("Transferred ", taken, "/", t.model->state.size(), " items from ", t.options.weights));
    }
  }
  t.model->to(t.device);
  t.anchors = model::grid_anchors(*t.model);
  t.scaled_hyp = config::scaled(t.hyp, t.model->spec.level_count(), t.data_set.class_count(), t.imgsz_px);
}

// The trainable parameters, with their gradients in the reducer's buckets, in the optimizer's groups.
void build_optimizer(Training& t) {
  const auto& entries = t.model->state.entries();
  const std::vector<bool> frozen = optim::frozen_layers(t.options.freeze, t.model->spec.layers.size());
  std::vector<size_t> trainable;
  std::vector<at::Tensor> parameters;
  size_t bytes = 0;
  for (size_t i = 0; i < entries.size(); ++i) {
    if (entries[i].is_parameter() && !frozen[static_cast<size_t>(optim::layer_of(entries[i].name))]) {
      t.model->state[i].requires_grad_(true);
      trainable.push_back(i);
      parameters.push_back(t.model->state[i]);
      bytes += parameters.back().nbytes();
    }
  }
  if (parameters.empty()) {
    throw UsageError("--freeze freezes every layer", "Leave at least one layer to train.");
  }
  t.reducer = std::make_unique<parallel::BucketedReducer>(t.gradient_communicator(), parameters,
                                                          plan::default_bucket_bytes(bytes));
  std::array<std::vector<optim::Parameter>, optim::group_count> groups;
  for (size_t k = 0; k < trainable.size(); ++k) {
    const auto& entry = entries[trainable[k]];
    groups[static_cast<size_t>(optim::group_of(entry))].push_back(
        {entry.name, parameters[k], t.reducer->gradient(k)});
  }
  if (t.is_leader()) {
    log::info(cat("optimizer: ", t.options.optimizer, "(lr=", t.hyp.lr0, ") with parameter groups ",
                  groups[2].size(), " weight(decay=0.0), ", groups[1].size(),
                  " weight(decay=", t.schedule->scaled_weight_decay(), "), ", groups[0].size(), " bias"));
  }
  optim::Optimizer::Settings settings;
  settings.rule = optim::rule_named(t.options.optimizer);
  settings.weight_decay = t.schedule->scaled_weight_decay();
  t.optimizer = std::make_unique<optim::Optimizer>(settings, std::move(groups));
}

void build_schedule(Training& t) {
  optim::Schedule::Setup setup;
  setup.hyp = t.hyp;
  setup.epochs = t.options.epochs;
  setup.batches_an_epoch = t.batches_an_epoch();
  setup.global_batch = t.options.global_batch;
  setup.cos_lr = t.options.cos_lr;
  setup.adam = optim::rule_named(t.options.optimizer) != optim::Rule::sgd;
  setup.accumulate = t.options.accumulate;
  t.schedule = std::make_unique<optim::Schedule>(setup);
}

// A checkpoint that was named is meant; else last.pt stands for the newest that can be read. Rank 0 looks,
// since all have to take the same.
bool is_named(const protocol::Start& start) {
  return start.resume_checkpoint != run::RunDirectory{start.run_directory}.weights_last() ||
         (start.attempt == 0 && std::filesystem::path(start.options.resume_from).extension() == ".pt");
}

// "auto" follows the device, and with it the recipe.
void warn_of_other_precision(const Training& t, const checkpoint::Checkpoint& from) {
  const std::string before = from.meta.value("precision", precision_name(t));
  if (t.is_leader() && before != precision_name(t)) {
    log::warning(cat("the run was trained in ", before, " until now, and goes on in ", precision_name(t),
                     ", which --precision ", t.options.precision, " means on ", t.device.str()));
  }
}

void restore_newest(Training& t) {
  const std::filesystem::path last = t.run.weights_last();
  checkpoint::Readable found;
  std::string word;  // the file, or what is wrong with all
  if (t.is_leader()) {
    try {
      found = checkpoint::read_newest(last);
    } catch (const DataError& error) {
      word = cat("none\n", error.what(), "\n", error.hint());
    }
    for (const std::string& problem : found.passed_over) {
      log::warning(cat("checkpoint: ", problem, "; going on from ", found.file.string(), " instead"));
    }
    if (word.empty()) {
      found.file = checkpoint::make_last(found.file, last);
      word = cat("file\n", found.file.string());
    }
  }
  const std::vector<std::string> parts =
      split(comm::all_gather_strings(*t.communicator, word, Deadline::after(peer_patience))[0], '\n');
  if (parts[0] == "none") {
    throw DataError(parts[1], parts[2]);
  }
  if (!t.is_leader()) {
    found = {.file = parts[1], .checkpoint = checkpoint::read_checkpoint(parts[1]), .passed_over = {}};
  }
  warn_of_other_precision(t, found.checkpoint);
  restore(t, found.checkpoint, found.file);
}

void resume(Training& t, const protocol::Start& start) {
  if (is_named(start)) {
    const checkpoint::Checkpoint from = checkpoint::read_checkpoint(start.resume_checkpoint);
    warn_of_other_precision(t, from);
    restore(t, from, start.resume_checkpoint);
  } else {
    restore_newest(t);
  }
  if (!t.is_leader()) {
    return;
  }
  telemetry::cut_results(t.run.results_csv(), t.state.epoch);
  telemetry::cut_metrics(t.run.metrics_jsonl(), t.iteration());
  log::info(cat("Resuming ", t.run.root.string(), " at epoch ", t.state.epoch, ", batch ", t.state.batch,
                " (step ", t.state.step, ")"));
}

// Every rank has to start from the same; a difference is named before it can do harm.
void compare_ranks(Training& t) {
  const auto pictures = [](const std::string& what, const data::Index& index) {
    std::vector<std::filesystem::path> files;
    for (const data::Picture& picture : index.pictures) {
      files.push_back(picture.path);
    }
    return shared_list(what, files);
  };
  require_same(*t.communicator,
               {pictures("the training set", t.train_pictures),
                pictures("the validation set", t.val_pictures),
                {"the weights", cat(model::fingerprint(t.model->state))},
                {"the plan", fingerprint({plan::plan_text(t.plan_request, t.plan, /*verbose=*/true)})}});
}

}  // namespace

std::unique_ptr<Training> assemble(const protocol::Start& start, Placement placement) {
  auto training = std::make_unique<Training>();
  Training& t = *training;
  t.rank = start.rank;
  t.world_size = start.world_size;
  t.attempt = start.attempt;
  t.threads = start.threads;
  t.run = {start.run_directory};
  t.device = placement.device;
  t.phase_peaks = memory::PhasePeaks(t.device);
  t.communicator = std::move(placement.communicator);
  t.device_communicator = std::move(placement.device_communicator);
  t.reconnect_devices = std::move(placement.reconnect_devices);
  t.options = start.options;
  t.device_name = placement.device_name;
  t.device_uuid = start.device_uuid;
  t.device_bytes = placement.device_bytes;
  t.injected = std::make_unique<InjectedShortage>(t.options.inject_shortage, t.rank, t.device);
  settle_precision(t);
  if (t.is_leader()) {
    t.run_token = start.run_token.empty() ? run::claim_run(t.run) : start.run_token;
    require_ownership(t.run, t.run_token);
    remove_temporaries(t.run.weights_folder());  // of jobs that were killed
  }
  check_network(t);

  t.hyp = config::read_hyperparameters(config::find_shipped(t.options.hyp, "hyps"), /*warns=*/false);
  t.hyp.label_smoothing = t.options.label_smoothing;
  t.data_set = config::read_data_set(t.options.data, t.options.single_cls);
  read_pictures(t);

  const bool resumes = !start.resume_checkpoint.empty();
  std::optional<checkpoint::Checkpoint> weights;
  if (!t.options.weights.empty() && !(resumes && !t.options.cfg.empty())) {
    weights = checkpoint::read_checkpoint(t.options.weights);
  }
  model_spec::ModelSpec spec = settle_model(t, weights);
  settle_batch(t, spec);
  t.options.global_batch = std::min(t.options.global_batch, t.picture_count());
  data::check_shard(t.options.shard, t.world_size, t.options.global_batch, t.options.bn_group);
  plan_pictures(t, spec.max_stride_px());
  make_plan(t, spec);
  build_model(t, std::move(spec), weights);
  if (!resumes && !t.options.no_autoanchor) {
    fit_anchors(t);
  }
  build_schedule(t);
  build_optimizer(t);
  memory::limit(t.device, memory::limit_of(t.device));  // now that the gradient buckets are there
  t.ema = std::make_unique<optim::ModelEma>(*t.model);
  if (resumes) {
    resume(t, start);
    t.anchors = model::grid_anchors(*t.model);
  } else if (t.is_leader() && (t.attempt > 0 || t.options.resume)) {
    // A run that ended before its first checkpoint begins again: what it wrote is of iterations that come
    // again.
    telemetry::cut_results(t.run.results_csv(), 0);
    telemetry::cut_metrics(t.run.metrics_jsonl(), 0);
  }
  compare_ranks(t);
  if (t.is_leader()) {
    try {
      record_plan(t);
    } catch (const StorageError& error) {
      log::warning(error.what());  // nobody needs it to train
    }
  }
  return training;
}

}  // namespace yolodist::train
