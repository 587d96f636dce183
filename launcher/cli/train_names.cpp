// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/cli/train_description.h"

namespace yolodist::cli {

const std::vector<Alias>& train_aliases() {
  static const std::vector<Alias> aliases = {
      {"batch", "batch-size"},     {"img", "imgsz"}, {"img-size", "imgsz"}, {"model", "cfg"},
      {"micro-batch", "bn-group"},
  };
  return aliases;
}

const std::vector<RefusedOption>& refused_train_options() {
  static const std::vector<RefusedOption> options = {
      // YOLOv5's.
      {"evolve", ". Try hyperparameters in runs of their own with --hyp FILE."},
      {"bucket", ". It belongs to --evolve."},
      {"quad", ". Use a larger --imgsz instead."},
      {"sync-bn",
       ": statistics over groups are the recipe here. Say with --bn-group K over how many pictures."},
      {"entity", ". Logs are results.csv and metrics.jsonl in the run directory."},
      {"upload_dataset", ". Data sets are used where they are: --data FILE."},
      {"bbox_interval", ". Logs are results.csv and metrics.jsonl in the run directory."},
      {"artifact_alias", ". Data sets are used where they are: --data FILE."},
      {"local_rank", ". Ranks come from mpirun or srun, not from torchrun; alone, use --ranks N."},
      {"evolve_population", ". Try hyperparameters in runs of their own with --hyp FILE."},
      {"resume_evolve", ". Try hyperparameters in runs of their own with --hyp FILE."},
      // Ours, later.
      {"shard-optimizer", " yet. If memory is short: --recompute, --bn-group."},
      {"pipeline", " yet. If memory is short: --recompute, --bn-group."},
      {"teacher", " yet. Train without distillation."},
      {"sparsity", " yet. Train without pruning."},
      {"prune-ratio", " yet. Train without pruning."},
      {"qat", " yet. Train without quantization."},
      {"card", " in train. It belongs to yolodist plan; here --device-memory sets a budget."},
      {"json", " in train. Read results.csv and metrics.jsonl in the run directory."},
  };
  return options;
}

}  // namespace yolodist::cli
