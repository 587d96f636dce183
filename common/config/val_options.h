// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <nlohmann/json_fwd.hpp>

#include "common/config/execution_options.h"

namespace yolodist::config {

// What `yolodist val` was asked to do. Names and meaning are those of YOLOv5's val.py. Plain values; filled
// by launcher/cli, stored as run.yaml, sent to the worker, read by worker/commands.
struct ValOptions : ExecutionOptions {
  // What is measured.
  std::string weights;       // one checkpoint
  std::string data;          // path of the data yaml
  std::string task = "val";  // train, val, test: that split; speed: val, in squares
  int batch = 32;            // pictures a group, of all ranks together; shapes are a group's
  int imgsz_px = 640;        // raised to a multiple of the largest stride
  double confidence = 0.001;
  double iou = 0.6;  // of NMS
  int max_detections = 300;
  bool single_cls = false;

  // What is written.
  bool verbose = false;  // a row a class whatever their number; and log::debug
  bool save_txt = false;
  bool save_hybrid = false;  // labels count as detections of confidence 1; implies save_txt
  bool save_conf = false;
  bool save_json = false;  // in COCO's form
  bool no_plots = false;
  bool json = false;  // the result as one document on standard output, everything else on standard error
  std::string project = "runs/val";
  std::string name = "exp";
  bool exist_ok = false;
};

// Every field under its option's name, dashes as underscores, in the order above, execution last. Reading
// ignores unknown keys and keeps the default of a missing one. Throws UsageError when a value has the wrong
// type.
nlohmann::ordered_json to_json(const ValOptions& options);
ValOptions val_options_from_json(const nlohmann::json& document);

}  // namespace yolodist::config
