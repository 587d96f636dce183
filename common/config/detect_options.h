// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "common/config/execution_options.h"

namespace yolodist::config {

// What `yolodist detect` was asked to do. Names and meaning are those of YOLOv5's detect.py. Plain values;
// filled by launcher/cli, stored as run.yaml, sent to the worker, read by worker/commands.
struct DetectOptions : ExecutionOptions {
  // What is looked at, and how.
  std::string weights;  // one checkpoint
  std::string source;   // a picture, a folder, a pattern with * or ?, or a list file (.txt)
  std::string data;     // a data yaml for the class names; "" = those of the checkpoint
  int imgsz_px = 640;   // raised to a multiple of the largest stride
  double confidence = 0.25;
  double iou = 0.45;  // of NMS
  int max_detections = 1000;
  std::vector<int> classes;  // only these; empty = all
  bool agnostic_nms = false;

  // What is written.
  bool save_txt = false;
  bool save_conf = false;
  bool save_crop = false;
  bool no_save = false;  // no pictures
  int line_thickness_px = 3;
  bool hide_labels = false;
  bool hide_conf = false;
  bool verbose = false;
  std::string project = "runs/detect";
  std::string name = "exp";
  bool exist_ok = false;
};

// As for ValOptions.
nlohmann::ordered_json to_json(const DetectOptions& options);
DetectOptions detect_options_from_json(const nlohmann::json& document);

}  // namespace yolodist::config
