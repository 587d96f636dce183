// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/cli/val_command_line.h"

#include "common/base/error.h"
#include "launcher/cli/description.h"

namespace yolodist::cli {
namespace {

namespace po = boost::program_options;
using config::ValOptions;

po::options_description describe(ValOptions& o, CheckpointTexts& t) {
  po::options_description measured = group("Measured: what decides the result");
  add_weights(measured, t);
  add(measured, "data", text(o.data, "FILE"), "data set yaml");
  add(measured, "task", text(o.task, "NAME"),
      "train, val, test: that split of the data set; speed: val in squares, confidence 0.25, IoU 0.45");
  add(measured, "batch-size", value(o.batch, "N"),
      "pictures of all ranks that share one shape (also --batch); the shape may change mAP a little");
  add(measured, "imgsz", text(t.imgsz, "PX"), "side (also --img, --img-size)");
  add_limits(measured, o.confidence, o.iou, o.max_detections);
  add(measured, "single-cls", flag(o.single_cls), "treat all classes as one");

  po::options_description output = group("Output: what is written");
  add(output, "verbose", flag(o.verbose), "a row a class even with 50 classes and more");
  add(output, "save-txt", flag(o.save_txt), "labels/PICTURE.txt with what was found");
  add(output, "save-hybrid", flag(o.save_hybrid), "the same, labels counting as found with confidence 1");
  add(output, "save-conf", flag(o.save_conf), "confidences in these files");
  add(output, "save-json", flag(o.save_json), "what was found as COCO has it, WEIGHTS_predictions.json");
  add(output, "noplots", flag(o.no_plots), "no pictures in the run directory");
  add(output, "json", flag(o.json),
      "the result as one JSON document on standard output, all else on standard error");
  add_run_directory(output, o.project, o.name, o.exist_ok);

  po::options_description all = group(
      "yolodist val --weights FILE --data FILE [options]\n\n"
      "Validates a checkpoint: precision, recall, mAP, speed. Options keep the names of YOLOv5's val.py;\n"
      "unique beginnings are enough. Start several ranks with mpirun or srun, or with --ranks or --device "
      "0,1");
  all.add(measured).add(output).add(describe_execution(o)).add(describe_other(t.help, t.version));
  return all;
}

void check_task(const std::string& task) {
  if (task == "study") {
    throw UsageError("--task study is not supported", "Validate once for each --imgsz.");
  }
  require(task == "train" || task == "val" || task == "test" || task == "speed", "task", cat("'", task, "'"),
          "train, val, test or speed");
}

void fill_in(ValOptions& o) {
  o.save_txt = o.save_txt || o.save_hybrid;
  o.save_json = o.save_json || o.data.ends_with("coco.yaml");
  if (o.task == "speed") {
    // Source: ultralytics/yolov5 v7.0 val.py, main.
    o.confidence = 0.25;
    o.iou = 0.45;
    o.save_json = false;
    o.no_plots = true;
  }
}

}  // namespace

ValCommandLine parse_val(const std::vector<std::string>& words) {
  ValCommandLine line;
  ValOptions& o = line.options;
  CheckpointTexts texts;
  const Grammar grammar{"val",
                        {},
                        {{"batch", "batch-size"},
                         {"img", "imgsz"},
                         {"img-size", "imgsz"},
                         {"conf", "conf-thres"},
                         {"iou", "iou-thres"}},
                        refused_val_options()};
  const po::options_description description = describe(o, texts);
  parse(words, description, grammar);
  line.wants_help = texts.help;
  line.wants_version = texts.version;
  if (line.wants_help || line.wants_version) {
    return line;
  }
  o.weights = only_weights(texts.weights);
  if (o.data.empty()) {
    throw UsageError("no --data: which data set is to be validated on?", "Name its yaml.");
  }
  o.imgsz_px = side_px(texts.imgsz);
  check_task(o.task);
  require_at_least("batch-size", o.batch, 1);
  require_at_least("max-det", o.max_detections, 1);
  require_share("conf-thres", o.confidence);
  require_share("iou-thres", o.iou);
  check_execution(o);
  fill_in(o);
  return line;
}

std::string val_help() {
  ValOptions options;
  CheckpointTexts texts;
  return checkpoint_help(describe(options, texts));
}

const std::vector<RefusedOption>& refused_val_options() {
  static const std::vector<RefusedOption> options = {
      {"augment", " yet (test-time augmentation). Validate without it."},
      {"half", " yet. Validation is in fp32."},
      {"dnn", ". Only checkpoints are read, not ONNX files."},
  };
  return options;
}

}  // namespace yolodist::cli
