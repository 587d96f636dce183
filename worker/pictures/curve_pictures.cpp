// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "common/base/text.h"
#include "worker/pictures/chart.h"
#include "worker/pictures/pictures.h"

namespace yolodist::pictures {
namespace {

constexpr int kWidth_px = 1400, kHeight_px = 850;
constexpr int kLegendWidth_px = 330;
constexpr int kMostColoured = 20;

// What the four pictures differ in.
struct Kind {
  std::string title, x_title, y_title;
  std::vector<double> eval::ClassCurves::*curve;
};

std::vector<double> mean_of(const eval::AveragePrecision& precision, const Kind& kind) {
  std::vector<double> mean(static_cast<size_t>(eval::kConfidenceCount), 0.0);
  for (const eval::ClassCurves& curves : precision.curves) {
    const std::vector<double>& curve = curves.*kind.curve;
    for (size_t i = 0; i < std::min(mean.size(), curve.size()); ++i) {
      mean[i] += curve[i] / static_cast<double>(precision.curves.size());
    }
  }
  return mean;
}

Chart chart_of(const Kind& kind) {
  Chart chart;
  chart.plot = {85, 55, kWidth_px - kLegendWidth_px - 85 - 60, kHeight_px - 55 - 75};
  chart.title = kind.title;
  chart.x.title = kind.x_title;
  chart.y.title = kind.y_title;
  chart.x.range = chart.y.range = {0, 1};
  chart.capital_px = 11;
  return chart;
}

// Draws the classes and returns their legend. `value_of`: what the legend says of a class.
template <typename ValueOf>
std::vector<LegendEntry> draw_classes(cv::Mat& canvas, const Chart& chart, const Kind& kind,
                                      const eval::AveragePrecision& precision,
                                      const std::vector<std::string>& names, const ValueOf& value_of) {
  std::vector<LegendEntry> legend;
  const bool is_coloured = precision.classes.size() <= kMostColoured;
  for (size_t c = 0; c < std::min(precision.curves.size(), precision.classes.size()); ++c) {
    const Colour colour = is_coloured ? palette_colour(static_cast<int>(c)) : Colour(190, 190, 190);
    draw_curve(canvas, chart, eval::confidences(), precision.curves[c].*kind.curve, colour,
               is_coloured ? 2 : 1);
    if (is_coloured) {
      legend.push_back({class_name(names, precision.classes[c].class_index), value_of(c), colour});
    }
  }
  if (!is_coloured) {
    legend.push_back({cat(precision.classes.size(), " classes"), "", Colour(190, 190, 190), 1});
  }
  return legend;
}

template <typename ValueOf>
cv::Mat picture(const Kind& kind, const eval::AveragePrecision& precision,
                const std::vector<std::string>& names, const ValueOf& value_of,
                const std::vector<LegendEntry>& mean_entries, double marked_x) {
  cv::Mat canvas = blank(kWidth_px, kHeight_px);
  const Chart chart = chart_of(kind);
  draw_frame(canvas, chart);
  if (precision.classes.empty() || !precision.has_true_positive) {
    draw_note(canvas, chart.plot, precision.classes.empty() ? "no labels" : "no true positive");
    return canvas;
  }
  std::vector<LegendEntry> legend = draw_classes(canvas, chart, kind, precision, names, value_of);
  if (marked_x >= 0) {
    draw_vertical(canvas, chart, marked_x, faint_ink());
  }
  draw_curve(canvas, chart, eval::confidences(), mean_of(precision, kind), accent(), 4);
  legend.insert(legend.begin(), mean_entries.begin(), mean_entries.end());
  draw_legend(canvas, {chart.plot.br().x + 30, chart.plot.y}, kLegendWidth_px, legend);
  return canvas;
}

LegendEntry mean_entry(const std::string& value) {
  return {"all classes", value, accent(), 4, true};
}

// Says what the values of the legend are.
LegendEntry heading(const std::string& text) {
  return {"", text, white(), 1, false};
}

void draw_precision_recall(const std::filesystem::path& folder, const eval::AveragePrecision& precision,
                           const std::vector<std::string>& names) {
  const Kind kind{"Precision over recall, IoU 0.5", "recall", "precision",
                  &eval::ClassCurves::precision_at_recall};
  double mean = 0;
  for (const eval::ClassPrecision& quality : precision.classes) {
    mean += quality.ap50() / static_cast<double>(precision.classes.size());
  }
  write_picture(folder / "PR_curve.png", [&] {
    return picture(
        kind, precision, names, [&](size_t c) { return printf_string("%.3f", precision.classes[c].ap50()); },
        {heading("AP at IoU 0.5"), mean_entry(printf_string("%.3f", mean))}, -1);
  });
}

// A measure over the confidence. The legend tells each class's best.
void draw_over_confidence(const std::filesystem::path& file, const Kind& kind,
                          const eval::AveragePrecision& precision, const std::vector<std::string>& names) {
  const auto best_text = [](const std::vector<double>& curve) {
    const auto best = std::max_element(curve.begin(), curve.end());
    if (best == curve.end()) {
      return std::string();
    }
    return printf_string("%.2f at %.3f", *best,
                         eval::confidences()[static_cast<size_t>(best - curve.begin())]);
  };
  const bool is_f1 = kind.curve == &eval::ClassCurves::f1;
  write_picture(file, [&] {
    const std::vector<double> mean = mean_of(precision, kind);
    std::string mean_text = best_text(mean);
    if (is_f1) {
      const auto at = static_cast<size_t>(
          std::lround(std::clamp(precision.best_confidence, 0.0, 1.0) * (eval::kConfidenceCount - 1)));
      mean_text = printf_string("%.2f at %.3f", mean[at], precision.best_confidence);
    }
    const std::vector<LegendEntry> entries = {
        heading(is_f1 ? "best F1 at confidence (mean: dashed)" : "highest at confidence"),
        mean_entry(mean_text)};
    return picture(
        kind, precision, names, [&](size_t c) { return best_text(precision.curves[c].*kind.curve); }, entries,
        is_f1 ? precision.best_confidence : -1);
  });
}

}  // namespace

void draw_curves(const std::filesystem::path& folder, const eval::AveragePrecision& precision,
                 const std::vector<std::string>& names) {
  draw_precision_recall(folder, precision, names);
  draw_over_confidence(folder / "F1_curve.png",
                       {"F1 over confidence, IoU 0.5", "confidence", "F1", &eval::ClassCurves::f1}, precision,
                       names);
  draw_over_confidence(
      folder / "P_curve.png",
      {"Precision over confidence, IoU 0.5", "confidence", "precision", &eval::ClassCurves::precision},
      precision, names);
  draw_over_confidence(
      folder / "R_curve.png",
      {"Recall over confidence, IoU 0.5", "confidence", "recall", &eval::ClassCurves::recall}, precision,
      names);
}

}  // namespace yolodist::pictures
