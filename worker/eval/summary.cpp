// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/eval/summary.h"

#include <cstddef>

#include "common/base/text.h"

namespace yolodist::eval {

Metrics summarize(std::span<const ImageStatistics> images) {
  Metrics metrics;
  metrics.images = static_cast<int64_t>(images.size());
  for (const ImageStatistics& image : images) {
    metrics.labels += static_cast<int64_t>(image.target_classes.size());
  }
  metrics.detail = average_precision(images);
  if (metrics.detail.has_true_positive && !metrics.detail.classes.empty()) {
    const double count = static_cast<double>(metrics.detail.classes.size());
    for (const ClassPrecision& quality : metrics.detail.classes) {
      metrics.precision += quality.precision / count;
      metrics.recall += quality.recall / count;
      metrics.f1 += quality.f1 / count;
      metrics.map50 += quality.ap50() / count;
      metrics.map += quality.ap() / count;
    }
  }
  return metrics;
}

std::vector<double> map_per_class(const Metrics& metrics, int class_count) {
  std::vector<double> values(static_cast<size_t>(class_count), metrics.map);
  for (const ClassPrecision& quality : metrics.detail.classes) {
    values.at(static_cast<size_t>(quality.class_index)) = quality.ap();
  }
  return values;
}

std::string table_header() {
  return printf_string("%22s%11s%11s%11s%11s%11s%11s", "Class", "Images", "Instances", "P", "R", "mAP50",
                       "mAP50-95");
}

std::string table_row(const std::string& name, int64_t images, int64_t labels, double precision,
                      double recall, double map50, double map) {
  return printf_string("%22s%11lld%11lld%11.3g%11.3g%11.3g%11.3g", name.c_str(),
                       static_cast<long long>(images), static_cast<long long>(labels), precision, recall,
                       map50, map);
}

std::vector<std::string> table(const Metrics& metrics, const std::vector<std::string>& names,
                               bool per_class) {
  std::vector<std::string> lines{
      table_header(), table_row("all", metrics.images, metrics.labels, metrics.precision, metrics.recall,
                                metrics.map50, metrics.map)};
  if (per_class && names.size() > 1) {
    for (const ClassPrecision& quality : metrics.detail.classes) {
      lines.push_back(table_row(names.at(static_cast<size_t>(quality.class_index)), metrics.images,
                                quality.labels, quality.precision, quality.recall, quality.ap50(),
                                quality.ap()));
    }
  }
  return lines;
}

}  // namespace yolodist::eval
