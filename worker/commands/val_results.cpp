// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/commands/val_results.h"

#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "common/base/atomic_file.h"

namespace yolodist::commands {
namespace {

using nlohmann::ordered_json;

// A curve is for drawing: six digits keep the file small.
std::vector<double> short_numbers(const std::vector<double>& values) {
  std::vector<double> result;
  for (const double value : values) {
    result.push_back(std::nearbyint(value * 1e6) / 1e6);
  }
  return result;
}

std::string text_of(const ordered_json& document) {
  return document.dump(-1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace

ordered_json result_document(const train::ValidationReport& report, const std::vector<std::string>& names) {
  const eval::Metrics& m = report.metrics;
  ordered_json document = {{"schema", 1},   {"images", m.images}, {"labels", m.labels}, {"P", m.precision},
                           {"R", m.recall}, {"mAP50", m.map50},   {"mAP50-95", m.map}};
  ordered_json classes = ordered_json::array();
  for (const eval::ClassPrecision& c : m.detail.classes) {
    classes.push_back({{"class", c.class_index},
                       {"name", names.at(static_cast<size_t>(c.class_index))},
                       {"labels", c.labels},
                       {"P", c.precision},
                       {"R", c.recall},
                       {"mAP50", c.ap50()},
                       {"mAP50-95", c.ap()}});
  }
  document["per_class"] = std::move(classes);
  document["speed_ms"] = {
      {"load", report.speed.load_ms}, {"inference", report.speed.inference_ms}, {"nms", report.speed.nms_ms}};
  return document;
}

ordered_json curves_document(const train::ValidationReport& report, const std::vector<std::string>& names) {
  const eval::AveragePrecision& detail = report.metrics.detail;
  ordered_json document = {{"schema", 1}, {"x", short_numbers(eval::confidences())}};
  ordered_json classes = ordered_json::array();
  for (size_t i = 0; i < detail.classes.size(); ++i) {
    const int class_index = detail.classes[i].class_index;
    classes.push_back({{"class", class_index},
                       {"name", names.at(static_cast<size_t>(class_index))},
                       {"P", short_numbers(detail.curves[i].precision)},
                       {"R", short_numbers(detail.curves[i].recall)},
                       {"F1", short_numbers(detail.curves[i].f1)},
                       {"precision_at_recall", short_numbers(detail.curves[i].precision_at_recall)}});
  }
  document["classes"] = std::move(classes);
  document["best_confidence"] = detail.best_confidence;
  const eval::ConfusionMatrix& matrix = report.confusion;
  ordered_json rows = ordered_json::array();
  for (int predicted = 0; predicted < matrix.side(); ++predicted) {
    ordered_json row = ordered_json::array();
    for (int actual = 0; actual < matrix.side(); ++actual) {
      row.push_back(matrix.at(predicted, actual));
    }
    rows.push_back(std::move(row));
  }
  document["confusion_matrix"] = {{"rows", "predicted"}, {"columns", "true"}, {"counts", std::move(rows)}};
  return document;
}

void write_results(const run::RunDirectory& run, const train::ValidationReport& report,
                   const std::vector<std::string>& names, bool on_standard_output) {
  const std::string result = text_of(result_document(report, names));
  write_file_atomically(run.root / "result.json", result);
  write_file_atomically(run.root / "curves.json", text_of(curves_document(report, names)));
  if (on_standard_output) {
    std::fputs(result.c_str(), stdout);
    std::fflush(stdout);
  }
}

}  // namespace yolodist::commands
