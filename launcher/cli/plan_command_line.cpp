// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/cli/plan_command_line.h"

#include <sstream>

#include "common/base/error.h"
#include "common/base/text.h"
#include "launcher/cli/description.h"
#include "launcher/cli/memory_options.h"

namespace yolodist::cli {
namespace {

namespace po = boost::program_options;

// Options whose text on the command line is not yet their value.
struct PlanTexts {
  std::vector<std::string> sides = {"640"};
  std::string device_memory = "0", bn_group = "auto", accumulate = "auto", shard = "auto";
  bool help = false, version = false;
};

po::typed_value<std::vector<std::string>>* texts(std::vector<std::string>& field, const char* placeholder) {
  return po::value<std::vector<std::string>>(&field)->multitoken()->value_name(placeholder);
}

po::options_description describe(PlanOptions& o, PlanTexts& t) {
  po::options_description recipe = group("Recipe: as for train");
  add(recipe, "model", texts(o.models, "NAME|FILE ..."), "shipped names or yamls, or all (also --cfg)");
  add(recipe, "imgsz", texts(t.sides, "PX ...")->default_value(t.sides, "640"),
      "sides, each a case (also --img, --img-size)");
  add(recipe, "batch-size", value(o.global_batch, "N"),
      "of all ranks an iteration; -1 = the most that fit (also --batch)");
  add(recipe, "bn-group", text(t.bn_group, "auto|K"), "auto = batch / ranks (also --micro-batch)");
  add(recipe, "accumulate", text(t.accumulate, "auto|K"), "iterations an optimizer step");
  add(recipe, "precision", text(o.precision, "NAME"),
      "auto = fp16 mixed precision on cards, fp32 on the CPU; also bf16, and fp64 on the CPU");
  add(recipe, "optimizer", text(o.optimizer, "NAME"), "SGD, Adam or AdamW");
  add(recipe, "multi-scale", flag(o.multi_scale), "plan for the largest side that it draws");
  add(recipe, "nc", value(o.class_count, "N"), "classes; 0 = those of the model yaml");
  add(recipe, "targets", value(o.targets, "N"), "boxes of the densest picture, after mosaic");

  po::options_description devices = group("Devices: where it is to run");
  add(devices, "card", texts(o.cards, "NAME ..."),
      "cards of cards.yaml: one for all ranks, or one each; without it, this machine's devices");
  add(devices, "cards", text(o.cards_file, "FILE"), "cards of your own, in the form of cards.yaml");
  add(devices, "device", text(o.device, "cpu|cuda|0,1"), "this machine's devices; cpu: ranks on the CPU");
  add(devices, "ranks", value(o.ranks, "N"), "0 = one a card or device");
  add_memory(devices, t.device_memory, o.memory_reserve, o.recompute, o.allow_recipe_change);
  add(devices, "shard", text(t.shard, "auto|6,6,2,2"), "pictures of the global batch for each rank");
  add(devices, "val-batch", value(o.val_batch, "N"), "pictures a validation group; 0 = twice the batch");

  po::options_description output = group("Output");
  add(output, "json", flag(o.json),
      "the plan as one JSON document on standard output, all else on standard error");
  add(output, "verbose", flag(o.verbose), "a row a layer, too");

  po::options_description all = group(
      "yolodist plan --model NAME [options]\n\n"
      "Says what a training needs of each device's memory before anything runs, and how it would be made to "
      "fit.\n"
      "Needs no GPU, no weights and no data. Several models or sides: a row each");
  all.add(recipe).add(devices).add(output).add(describe_other(t.help, t.version));
  return all;
}

void check_precision(const PlanOptions& o) {
  const std::string& p = o.precision;
  require(p == "auto" || p == "fp32" || p == "fp64" || p == "fp16" || p == "bf16", "precision",
          cat("'", p, "'"), "auto, fp32, fp64, fp16 or bf16");
}

}  // namespace

PlanCommandLine parse_plan(const std::vector<std::string>& words) {
  PlanCommandLine line;
  PlanOptions& o = line.options;
  PlanTexts t;
  Grammar grammar;
  grammar.command = "plan";
  grammar.aliases = {{"cfg", "model"},
                     {"img", "imgsz"},
                     {"img-size", "imgsz"},
                     {"batch", "batch-size"},
                     {"micro-batch", "bn-group"}};
  grammar.refused = refused_plan_options();
  parse(words, describe(o, t), grammar);
  line.wants_help = t.help;
  line.wants_version = t.version;
  if (line.wants_help || line.wants_version) {
    return line;
  }
  if (o.models.empty()) {
    throw UsageError("no --model: which model is to be trained?",
                     "For example --model yolov5s, or --model all.");
  }
  o.sides_px.clear();
  for (const std::string& side : t.sides) {
    o.sides_px.push_back(side_px(side));
  }
  o.bn_group = automatic_or_number("bn-group", t.bn_group);
  o.accumulate = automatic_or_number("accumulate", t.accumulate);
  o.shard = shard_of_text(t.shard);
  o.device_memory_bytes.clear();
  for (const Bytes budget : checked_memory(t.device_memory, o.memory_reserve, o.recompute)) {
    o.device_memory_bytes.push_back(budget.count);
  }
  o.optimizer = optimizer_name(o.optimizer);
  require_at_least("ranks", o.ranks, 0);
  require_at_least("val-batch", o.val_batch, 0);
  require_at_least("nc", o.class_count, 0);
  require_at_least("targets", o.targets, 0);
  check_batch(o.global_batch, o.shard, o.ranks);
  check_precision(o);
  const int cards = static_cast<int>(o.cards.size());
  require(cards < 2 || o.ranks == 0 || o.ranks == cards, "card", cat("for ", cards, " ranks"),
          cat("one, or one for each of the ", o.ranks, " of --ranks").c_str());
  if (cards > 0 && !o.device.empty()) {
    throw UsageError("--card and --device do not go together: cards are not of this machine",
                     "Give one of them.");
  }
  return line;
}

std::string plan_help() {
  PlanOptions options;
  PlanTexts texts;
  std::ostringstream stream;
  stream << describe(options, texts);
  stream << "\nExit codes: 0 it fits (of several cases, one does), 64 usage, 65 model or cards unreadable, "
            "69 no such\n"
            "device, 70 bug, 71 nothing makes it fit.\n";
  return stream.str();
}

const std::vector<RefusedOption>& refused_plan_options() {
  static const std::vector<RefusedOption> options = {
      {"weights", " in plan: no weights are needed. Name the model: --model yolov5s."},
      {"data",
       " in plan: no data are needed. Their classes: --nc N; boxes of the densest picture: --targets N."},
      {"shard-optimizer", " yet. The plan names what it would save where nothing else fits."},
      {"pipeline", " yet. The plan names what it would save where nothing else fits."},
  };
  return options;
}

}  // namespace yolodist::cli
