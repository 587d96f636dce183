// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/config/val_options.h"

#include <nlohmann/json.hpp>

#include "common/config/option_fields.h"

namespace yolodist::config {
namespace {

template <typename Options, typename Visit>
void visit_fields(Options& o, const Visit& visit) {
  visit("weights", o.weights);
  visit("data", o.data);
  visit("task", o.task);
  visit("batch_size", o.batch);
  visit("imgsz", o.imgsz_px);
  visit("conf_thres", o.confidence);
  visit("iou_thres", o.iou);
  visit("max_det", o.max_detections);
  visit("single_cls", o.single_cls);
  visit("verbose", o.verbose);
  visit("save_txt", o.save_txt);
  visit("save_hybrid", o.save_hybrid);
  visit("save_conf", o.save_conf);
  visit("save_json", o.save_json);
  visit("noplots", o.no_plots);
  visit("json", o.json);
  visit_run(o, visit);
}

}  // namespace

nlohmann::ordered_json to_json(const ValOptions& options) {
  nlohmann::ordered_json document = nlohmann::ordered_json::object();
  visit_fields(options, FieldWriter{document});
  return document;
}

ValOptions val_options_from_json(const nlohmann::json& document) {
  ValOptions options;
  visit_fields(options, FieldReader(document));
  return options;
}

}  // namespace yolodist::config
