// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/cli/detect_command_line.h"

#include <algorithm>
#include <array>

#include "common/base/error.h"
#include "launcher/cli/description.h"

namespace yolodist::cli {
namespace {

namespace po = boost::program_options;
using config::DetectOptions;

po::options_description describe(DetectOptions& o, CheckpointTexts& t) {
  po::options_description looked_for = group("Looked at: what decides the result");
  add_weights(looked_for, t);
  add(looked_for, "source", text(o.source, "PATH"),
      "a picture, a folder, a pattern ('*.jpg', '**/*.png') or a list of pictures (.txt)");
  add(looked_for, "data", text(o.data, "FILE"), "data set yaml for the class names; '' = the checkpoint's");
  add(looked_for, "imgsz", text(t.imgsz, "PX"),
      "longer side of the network's input (also --img, --img-size)");
  add_limits(looked_for, o.confidence, o.iou, o.max_detections);
  add(looked_for, "classes", po::value<std::vector<int>>(&o.classes)->multitoken()->value_name("N ..."),
      "only these classes");
  add(looked_for, "agnostic-nms", flag(o.agnostic_nms), "NMS across classes");

  po::options_description output = group("Output: what is written");
  add(output, "save-txt", flag(o.save_txt), "labels/PICTURE.txt with what was found");
  add(output, "save-conf", flag(o.save_conf), "confidences in these files");
  add(output, "save-crop", flag(o.save_crop), "crops/CLASS/PICTURE.jpg: each box cut out");
  add(output, "nosave", flag(o.no_save), "no pictures with boxes");
  add(output, "line-thickness", value(o.line_thickness_px, "PX"), "of the drawn boxes");
  add(output, "hide-labels", flag(o.hide_labels), "boxes without class names");
  add(output, "hide-conf", flag(o.hide_conf), "class names without confidences");
  add_run_directory(output, o.project, o.name, o.exist_ok);
  add(output, "verbose", flag(o.verbose), "say more");

  po::options_description all = group(
      "yolodist detect --weights FILE --source PATH [options]\n\n"
      "Finds objects in pictures. Options keep the names of YOLOv5's detect.py; unique beginnings are "
      "enough.\n"
      "Start several ranks with mpirun or srun, or with --ranks or --device 0,1");
  all.add(looked_for).add(output).add(describe_execution(o)).add(describe_other(t.help, t.version));
  return all;
}

// Source of the kinds: ultralytics/yolov5 v7.0 detect.py and utils/dataloaders.py, VID_FORMATS.
void check_source(const std::string& source) {
  if (source.empty()) {
    throw UsageError("no --source: which pictures are to be looked at?",
                     "Name a picture, a folder or a pattern.");
  }
  constexpr const char* instead = "Give pictures: a file, a folder, a pattern or a list.";
  const auto refuse = [&](const char* kind) {
    throw UsageError(cat("--source ", source, ": ", kind, " are not supported"), instead);
  };
  const std::string name = lower(source);
  if (name.find("://") != std::string::npos) {
    refuse("addresses");
  }
  if (std::all_of(name.begin(), name.end(), [](char c) { return c >= '0' && c <= '9'; })) {
    refuse("cameras");
  }
  if (name == "screen" || name.starts_with("screen ")) {
    refuse("screens");
  }
  if (name.ends_with(".streams")) {
    refuse("streams");
  }
  static constexpr std::array<std::string_view, 12> videos = {
      ".asf", ".avi", ".gif", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ts", ".webm", ".wmv"};
  if (std::any_of(videos.begin(), videos.end(), [&](std::string_view end) { return name.ends_with(end); })) {
    refuse("videos");
  }
}

}  // namespace

DetectCommandLine parse_detect(const std::vector<std::string>& words) {
  DetectCommandLine line;
  DetectOptions& o = line.options;
  CheckpointTexts texts;
  const Grammar grammar{
      "detect",
      {},
      {{"img", "imgsz"}, {"img-size", "imgsz"}, {"conf", "conf-thres"}, {"iou", "iou-thres"}},
      refused_detect_options()};
  const po::options_description description = describe(o, texts);
  parse(words, description, grammar);
  line.wants_help = texts.help;
  line.wants_version = texts.version;
  if (line.wants_help || line.wants_version) {
    return line;
  }
  o.weights = only_weights(texts.weights);
  check_source(o.source);
  o.imgsz_px = side_px(texts.imgsz);
  require_at_least("max-det", o.max_detections, 1);
  require_at_least("line-thickness", o.line_thickness_px, 1);
  require_share("conf-thres", o.confidence);
  require_share("iou-thres", o.iou);
  for (const int class_index : o.classes) {
    require_at_least("classes", class_index, 0);
  }
  check_execution(o);
  return line;
}

std::string detect_help() {
  DetectOptions options;
  CheckpointTexts texts;
  return checkpoint_help(describe(options, texts));
}

const std::vector<RefusedOption>& refused_detect_options() {
  static const std::vector<RefusedOption> options = {
      {"view-img", ". Look at the pictures in the run directory."},
      {"augment", " yet (test-time augmentation). Detect without it."},
      {"visualize", ". Features are not drawn."},
      {"update", ". Checkpoints are read as they are."},
      {"half", " yet. Detection is in fp32."},
      {"dnn", ". Only checkpoints are read, not ONNX files."},
      {"vid-stride", ". Videos are not read."},
  };
  return options;
}

}  // namespace yolodist::cli
