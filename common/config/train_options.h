// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "common/config/execution_options.h"

namespace yolodist::config {

// What `yolodist train` was asked to do. Names and meaning are YOLOv5's where YOLOv5 has the option.
// Plain values; filled by launcher/cli, stored as run.yaml, sent to the worker, read by
// worker/train/assemble.
struct TrainOptions : ExecutionOptions {
  // The recipe: what decides the result. A resumed run may not change these.
  std::string weights;  // a checkpoint to start from; "" = from scratch
  std::string cfg;      // shipped model name or path of a model yaml; "" = from the checkpoint
  std::string data;     // path of the data yaml
  std::string hyp;      // shipped name or path of a hyperparameter yaml
  int epochs = 100;
  int global_batch = 16;  // pictures of all ranks together an iteration; -1 = the largest that fits
  int imgsz_px = 640;     // training and validation side, a multiple of the largest stride
  bool rect = false;
  bool multi_scale = false;
  bool single_cls = false;
  bool image_weights = false;
  std::string optimizer = "SGD";  // SGD, Adam, AdamW
  bool cos_lr = false;
  double label_smoothing = 0.0;
  std::vector<int> freeze = {0};  // as YOLOv5: one number = that many first layers, several = exactly those
  bool freeze_bn = false;         // BN statistics as loaded, not updated
  int64_t seed = 0;
  int bn_group = 0;    // K, pictures a forward takes and BN averages over; 0 = ceil(batch / ranks)
  int accumulate = 0;  // iterations an optimizer step; 0 = YOLOv5's nominal batch of 64
  std::string precision = "auto";  // auto, fp32, fp64 (CPU), fp16, bf16
  bool no_autoanchor = false;
  bool augment = true;  // false only for exact comparisons: no mosaic, no warp, no colour, no flips

  // What is written and when; may change on resume.
  std::string project = "runs/train";
  std::string name = "exp";
  bool exist_ok = false;
  bool no_save = false;  // only the final epoch is saved
  bool no_val = false;   // only the final epoch is validated
  bool no_plots = false;
  int patience = 100;                   // epochs without improvement; 0 = never stop
  int save_period = -1;                 // keep epochN.pt every so many epochs; < 1 = off
  int checkpoint_every_steps = 0;       // 0 = by time
  double checkpoint_every_minutes = 0;  // 0 = each epoch and each 10 minutes
  int max_checkpoint_failures = 3;      // checkpoints in a row that cannot be written before the run gives up
  bool resume = false;
  std::string resume_from;  // a run directory or checkpoint; "" = the newest; "auto" = of the same lineage

  // How it is executed, with ExecutionOptions; may change on resume and never changes the result beyond
  // rounding.
  std::vector<int> shard;   // pictures of the global batch for each rank; empty = even
  int val_batch = 0;        // pictures a validation group; 0 = 2 x batch in training
  std::string cache;        // "", ram, disk
  std::string cache_dir;    // "" = /dev/shm for ram, else $SLURM_TMPDIR, $TMPDIR or /tmp
  int max_restarts = 3;     // of all workers after a failure, without a new checkpoint in between; 0 = never
  std::string time_limit;   // of this start: save and stop before it is over; as SLURM's, see parse_duration
  std::string stop_signal;  // asks to save and stop beside SIGINT, SIGTERM, SIGUSR1, SIGUSR2: "SIGHUP"
  int max_steps = 0;        // stop with a checkpoint after so many optimizer steps since the run's start
  int max_iterations = 0;   // likewise, in iterations
  // Budget of each device, or one for each rank: "16GiB", "24GiB,8GiB"; "0" = the whole card, on the CPU
  // none.
  std::string device_memory = "0";
  std::string memory_reserve =
      "0";  // of the budget kept free beyond the plan: "5%" or bytes, see parse_reserve
  std::string recompute = "auto";    // auto, none, activations, blocks
  bool ignore_plan = false;          // start although the plan does not fit
  bool allow_recipe_change = false;  // bn_group may be lowered when nothing else fits
  std::string inject_shortage;       // for tests: "RANK:PHASE:ITERATION:BYTES"; "" = off
  bool verbose = false;
};

// Every field under its option's name (dashes as underscores; global_batch is batch_size, imgsz_px is imgsz,
// and noautoanchor, nosave, noval and noplots are YOLOv5's), recipe first, then what may change on resume.
// Reading ignores unknown keys and keeps the default of a missing one. Throws UsageError when a value has the
// wrong type.
nlohmann::ordered_json to_json(const TrainOptions& options);
TrainOptions train_options_from_json(const nlohmann::json& document);

// The names of the recipe fields in which two runs differ, for the refusal of a changed recipe on --resume.
std::vector<std::string> recipe_differences(const TrainOptions& stored, const TrainOptions& asked);

}  // namespace yolodist::config
