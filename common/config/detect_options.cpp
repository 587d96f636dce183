// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/config/detect_options.h"

#include <nlohmann/json.hpp>

#include "common/config/option_fields.h"

namespace yolodist::config {
namespace {

template <typename Options, typename Visit>
void visit_fields(Options& o, const Visit& visit) {
  visit("weights", o.weights);
  visit("source", o.source);
  visit("data", o.data);
  visit("imgsz", o.imgsz_px);
  visit("conf_thres", o.confidence);
  visit("iou_thres", o.iou);
  visit("max_det", o.max_detections);
  visit("classes", o.classes);
  visit("agnostic_nms", o.agnostic_nms);
  visit("save_txt", o.save_txt);
  visit("save_conf", o.save_conf);
  visit("save_crop", o.save_crop);
  visit("nosave", o.no_save);
  visit("line_thickness", o.line_thickness_px);
  visit("hide_labels", o.hide_labels);
  visit("hide_conf", o.hide_conf);
  visit("verbose", o.verbose);
  visit_run(o, visit);
}

}  // namespace

nlohmann::ordered_json to_json(const DetectOptions& options) {
  nlohmann::ordered_json document = nlohmann::ordered_json::object();
  visit_fields(options, FieldWriter{document});
  return document;
}

DetectOptions detect_options_from_json(const nlohmann::json& document) {
  DetectOptions options;
  visit_fields(options, FieldReader(document));
  return options;
}

}  // namespace yolodist::config
