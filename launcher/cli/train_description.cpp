// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/cli/train_description.h"

#include <vector>

#include "launcher/cli/description.h"
#include "launcher/cli/memory_options.h"

namespace yolodist::cli {
namespace po = boost::program_options;

po::options_description describe_train(config::TrainOptions& o, TrainTexts& t) {
  o.hyp = "hyp.scratch-low";
  po::options_description recipe = group("Recipe: what decides the result");
  add(recipe, "weights", text(o.weights, "FILE"), "checkpoint to start from; '' = from scratch");
  add(recipe, "cfg", text(o.cfg, "NAME|FILE"), "model: a shipped name (yolov5n) or a yaml (also --model)");
  add(recipe, "data", text(o.data, "FILE"), "data set yaml; without it, the shipped sample");
  add(recipe, "hyp", text(o.hyp, "NAME|FILE"), "hyperparameters: a shipped name or a yaml");
  add(recipe, "epochs", value(o.epochs, "N"), "epochs in all");
  add(recipe, "batch-size", value(o.global_batch, "N"),
      "of all ranks an iteration; -1 = the most that fit (also --batch)");
  add(recipe, "imgsz", text(t.imgsz, "PX"), "side in training and validation (also --img, --img-size)");
  add(recipe, "single-cls", flag(o.single_cls), "treat all classes as one");
  add(recipe, "rect", flag(o.rect), "batches of pictures of like shape, without shuffling and mosaic");
  add(recipe, "multi-scale", flag(o.multi_scale),
      "a side from half to one and a half times --imgsz each iteration");
  add(recipe, "image-weights", flag(o.image_weights),
      "pictures of rare and badly found classes come more often");
  add(recipe, "optimizer", text(o.optimizer, "NAME"), "SGD, Adam or AdamW");
  add(recipe, "cos-lr", flag(o.cos_lr), "cosine learning rate schedule instead of linear");
  add(recipe, "label-smoothing", value(o.label_smoothing, "X"), "label smoothing epsilon");
  add(recipe, "freeze",
      po::value<std::vector<int>>(&o.freeze)->multitoken()->default_value(o.freeze, "0")->value_name("N ..."),
      "one number: so many first layers are frozen; several: exactly these layers");
  add(recipe, "freeze-bn", flag(o.freeze_bn), "batch norm statistics as loaded, not updated");
  add(recipe, "seed", value(o.seed, "N"), "seed of weights, order and augmentation");
  add(recipe, "bn-group", text(t.bn_group, "auto|K"),
      "pictures a forward takes and batch norm averages over; auto = batch / ranks (also --micro-batch)");
  add(recipe, "accumulate", text(t.accumulate, "auto|K"),
      "iterations an optimizer step; auto = nominal batch 64, as YOLOv5");
  add(recipe, "precision", text(o.precision, "NAME"),
      "auto = fp16 mixed precision on cards, fp32 on the CPU; also bf16, and fp64 on the CPU");
  add(recipe, "noautoanchor", flag(o.no_autoanchor),
      "keep the model's anchors even if they fit the labels badly");
  add(recipe, "no-augment", flag(t.no_augment), "no mosaic, warp, colour, flips: for exact comparisons");

  po::options_description output = group("Output: what is written and when");
  add_run_directory(output, o.project, o.name, o.exist_ok);
  add(output, "nosave", flag(o.no_save), "save only the final epoch");
  add(output, "noval", flag(o.no_val), "validate only the final epoch");
  add(output, "noplots", flag(o.no_plots), "no pictures in the run directory");
  add(output, "patience", value(o.patience, "N"),
      "epochs without improvement before stopping; 0 = never stop");
  add(output, "save-period", value(o.save_period, "N"), "keep epochK.pt every so many epochs; below 1 = off");
  add(output, "checkpoint-every", text(t.checkpoint_every, "STEPS|10min"),
      "optimizer steps, or a time; 0 = each epoch and each 10 minutes");
  add(output, "max-checkpoint-failures", value(o.max_checkpoint_failures, "N"),
      "checkpoints in a row that cannot be written before the run ends; training goes on until then");
  add(output, "resume", po::value<std::string>(&t.resume)->value_name("[PATH|auto]"),
      "go on with a run directory or checkpoint; without a value, the newest run under --project; auto = "
      "the run of this --name or SLURM job, or a new one");
  add(output, "verbose", flag(o.verbose), "say more");

  po::options_description execution = describe_execution(o);
  add_memory(execution, o.device_memory, o.memory_reserve, o.recompute, o.allow_recipe_change);
  add(execution, "ignore-plan", flag(o.ignore_plan), "start although the plan does not fit");
  add(execution, "shard", text(t.shard, "auto|6,6,2,2"), "pictures of the global batch for each rank");
  add(execution, "cache", po::value<std::string>(&t.cache)->value_name("[ram|disk]"),
      "keep decoded pictures in one file a node, in memory or on disk; without a value, ram");
  add(execution, "cache-dir", text(o.cache_dir, "FOLDER"),
      "folder of --cache disk; '' = $SLURM_TMPDIR, $TMPDIR or /tmp (ram is always /dev/shm)");
  add(execution, "val-batch", value(o.val_batch, "N"), "pictures a validation group; 0 = twice the batch");
  add(execution, "max-restarts", value(o.max_restarts, "N"),
      "starts of all workers from the last checkpoint after a failure, without a new checkpoint in between");
  add(execution, "time-limit", text(o.time_limit, "[D-]HH:MM:SS|90min"),
      "save and stop before this much time is over; '' = until SLURM's limit, if there is one");
  add(execution, "stop-signal", text(o.stop_signal, "NAME"),
      "another signal that asks to save and stop, beside SIGINT, SIGTERM, SIGUSR1 and SIGUSR2");
  add(execution, "max-steps", value(o.max_steps, "N"),
      "save and stop after so many optimizer steps of the run; 0 = off");
  add(execution, "max-iterations", value(o.max_iterations, "N"),
      "save and stop after so many iterations of the run; 0 = off");

  po::options_description all = group(
      "yolodist train [options]\n\n"
      "Trains YOLOv5. Options keep YOLOv5's names; unique beginnings are enough.\n"
      "Start several ranks with mpirun or srun, or with --ranks or --device 0,1");
  all.add(recipe).add(output).add(execution).add(describe_other(t.help, t.version));
  return all;
}

po::options_description describe_hidden(config::TrainOptions& o) {
  po::options_description hidden = group("For tests");
  add(hidden, "inject-shortage", text(o.inject_shortage, "RANK:PHASE:ITERATION:BYTES"),
      "takes memory away from a rank after planning");
  return hidden;
}

}  // namespace yolodist::cli
