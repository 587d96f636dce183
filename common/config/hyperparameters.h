// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>

#include <nlohmann/json_fwd.hpp>

namespace yolodist::config {

// YOLOv5's hyperparameters under their own names; the defaults are hyp.scratch-low.
// Source: ultralytics/yolov5 v7.0 data/hyps/hyp.scratch-low.yaml.
struct Hyperparameters {
  double lr0 = 0.01;        // initial learning rate
  double lrf = 0.01;        // final learning rate as a fraction of lr0
  double momentum = 0.937;  // SGD momentum, or beta1 of Adam
  double weight_decay = 0.0005;
  double warmup_epochs = 3.0;
  double warmup_momentum = 0.8;
  double warmup_bias_lr = 0.1;
  double box = 0.05;  // gains of the three loss terms
  double cls = 0.5;
  double cls_pw = 1.0;  // positive weights of the two BCE terms
  double obj = 1.0;
  double obj_pw = 1.0;
  double iou_t = 0.20;    // not used, as in YOLOv5
  double anchor_t = 4.0;  // largest ratio of side lengths at which an anchor still matches
  double anchors = 0.0;   // anchors a level for AutoAnchor to find; 0 = those of the model
  double fl_gamma = 0.0;  // focal loss
  double hsv_h = 0.015;   // colour gains, fractions
  double hsv_s = 0.7;
  double hsv_v = 0.4;
  double degrees = 0.0;      // rotation, plus or minus
  double translate = 0.1;    // fraction of the side
  double scale = 0.5;        // gain, 1 plus or minus
  double shear = 0.0;        // degrees, plus or minus
  double perspective = 0.0;  // fraction a pixel
  double flipud = 0.0;       // probabilities from here on
  double fliplr = 0.5;
  double mosaic = 1.0;
  double mixup = 0.0;
  double copy_paste = 0.0;
  double label_smoothing = 0.0;  // from the command line
};

// Reads a hyp yaml. A missing key keeps its default; it and an unknown key are named in a warning if `warns`.
// Throws DataError with file and line for a value that is not a number or out of its range.
Hyperparameters read_hyperparameters(const std::filesystem::path& file, bool warns = true);

// In the order above. Reading ignores unknown keys, keeps the default of a missing one and throws DataError
// for a value that is not a number or out of its range.
nlohmann::ordered_json to_json(const Hyperparameters& hyp);
Hyperparameters hyperparameters_from_json(const nlohmann::json& document);

// Gains scaled to the model and picture size: box by 3/nl, cls by nc/80 * 3/nl, obj by (side/640)^2 * 3/nl.
// Source: ultralytics/yolov5 v7.0 train.py.
Hyperparameters scaled(const Hyperparameters& hyp, int level_count, int class_count, int imgsz_px);

}  // namespace yolodist::config
