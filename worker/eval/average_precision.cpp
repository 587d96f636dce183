// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/eval/average_precision.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <map>
#include <numeric>

namespace yolodist::eval {
namespace {

constexpr double kEpsilon = 1e-16;
constexpr int kRecallPointCount = 101;  // the grid over which precision is integrated
constexpr double kSmoothingFraction = 0.1;

// 0, 1/(n-1), …, 1.
std::vector<double> unit_grid(int count) {
  std::vector<double> grid(static_cast<size_t>(count));
  const double step = 1.0 / (count - 1);
  for (int i = 0; i < count; ++i) {
    grid[static_cast<size_t>(i)] = i * step;
  }
  grid.back() = 1.0;
  return grid;
}

// Piecewise linear through (xs, ys), xs ascending; outside it `left`, or the last y. Where xs repeats, the
// last of the equal points counts, which is what the reference values rest on.
double interpolate(double x, std::span<const double> xs, std::span<const double> ys, double left) {
  if (x < xs.front()) {
    return left;
  }
  const auto above = std::upper_bound(xs.begin(), xs.end(), x);
  const auto j = static_cast<size_t>(above - xs.begin()) - 1;
  if (j + 1 >= xs.size() || xs[j] == x) {
    return ys[j];
  }
  const double slope = (ys[j + 1] - ys[j]) / (xs[j + 1] - xs[j]);
  return slope * (x - xs[j]) + ys[j];
}

struct ScoredDetection {
  float score;
  uint16_t correct;
};

// Recall and precision after each detection at one threshold.
struct CumulativeCurve {
  std::vector<double> recall, precision;
};

CumulativeCurve cumulative(const std::vector<ScoredDetection>& detections, int64_t labels, int threshold) {
  CumulativeCurve curve;
  curve.recall.reserve(detections.size());
  curve.precision.reserve(detections.size());
  int64_t true_positives = 0, seen = 0;
  for (const ScoredDetection& detection : detections) {
    ++seen;
    true_positives += (detection.correct >> threshold) & 1;
    curve.recall.push_back(static_cast<double>(true_positives) / (static_cast<double>(labels) + kEpsilon));
    curve.precision.push_back(static_cast<double>(true_positives) / static_cast<double>(seen));
  }
  return curve;
}

// The curve with its ends put on and precision made to fall.
CumulativeCurve envelope(const CumulativeCurve& curve) {
  CumulativeCurve closed;
  closed.recall.push_back(0.0);
  closed.recall.insert(closed.recall.end(), curve.recall.begin(), curve.recall.end());
  closed.recall.push_back(1.0);
  closed.precision.push_back(1.0);
  closed.precision.insert(closed.precision.end(), curve.precision.begin(), curve.precision.end());
  closed.precision.push_back(0.0);
  for (size_t i = closed.precision.size() - 1; i-- > 0;) {
    closed.precision[i] = std::max(closed.precision[i], closed.precision[i + 1]);
  }
  return closed;
}

double area_under(const CumulativeCurve& closed) {
  static const std::vector<double> grid = unit_grid(kRecallPointCount);
  double area = 0;
  double previous = interpolate(grid[0], closed.recall, closed.precision, closed.precision.front());
  for (size_t i = 1; i < grid.size(); ++i) {
    const double next = interpolate(grid[i], closed.recall, closed.precision, closed.precision.front());
    area += (grid[i] - grid[i - 1]) * (next + previous) / 2;
    previous = next;
  }
  return area;
}

// Moving average over a fraction of the curve, the ends continued.
std::vector<double> smoothed(const std::vector<double>& values) {
  const int count = static_cast<int>(values.size());
  const int window = static_cast<int>(std::nearbyint(count * kSmoothingFraction * 2)) / 2 + 1;
  const int half = window / 2;
  std::vector<double> result(values.size());
  for (int i = 0; i < count; ++i) {
    double sum = 0;
    for (int k = i - half; k <= i + half; ++k) {
      sum += values[static_cast<size_t>(std::clamp(k, 0, count - 1))] / window;
    }
    result[static_cast<size_t>(i)] = sum;
  }
  return result;
}

void measure_class(const std::vector<ScoredDetection>& detections, ClassPrecision& quality,
                   ClassCurves& curves) {
  const std::vector<double>& grid = confidences();
  curves.precision.assign(grid.size(), 0.0);
  curves.recall.assign(grid.size(), 0.0);
  curves.precision_at_recall.assign(grid.size(), 0.0);
  if (detections.empty()) {
    return;
  }
  std::vector<double> negative_scores;
  negative_scores.reserve(detections.size());
  for (const ScoredDetection& detection : detections) {
    negative_scores.push_back(-static_cast<double>(detection.score));
  }
  for (int t = 0; t < kIouThresholdCount; ++t) {
    const CumulativeCurve curve = cumulative(detections, quality.labels, t);
    const CumulativeCurve closed = envelope(curve);
    quality.average_precision[static_cast<size_t>(t)] = area_under(closed);
    if (t == 0) {
      for (size_t i = 0; i < grid.size(); ++i) {
        curves.recall[i] = interpolate(-grid[i], negative_scores, curve.recall, 0.0);
        curves.precision[i] = interpolate(-grid[i], negative_scores, curve.precision, 1.0);
        curves.precision_at_recall[i] = interpolate(grid[i], closed.recall, closed.precision, 1.0);
      }
    }
  }
}

// Fills precision, recall and F1 of every class at the confidence where the mean F1 is best.
void choose_confidence(AveragePrecision& result) {
  const size_t points = confidences().size();
  std::vector<double> mean_f1(points, 0.0);
  for (ClassCurves& curves : result.curves) {
    curves.f1.resize(points);
    for (size_t i = 0; i < points; ++i) {
      const double p = curves.precision[i], r = curves.recall[i];
      curves.f1[i] = 2 * p * r / (p + r + kEpsilon);
      mean_f1[i] += curves.f1[i] / static_cast<double>(result.curves.size());
    }
  }
  const std::vector<double> smooth_f1 = smoothed(mean_f1);
  // The first of those that are best but for rounding: rounding must not choose.
  const double best = *std::max_element(smooth_f1.begin(), smooth_f1.end());
  const auto at = static_cast<size_t>(
      std::find_if(smooth_f1.begin(), smooth_f1.end(), [best](double f1) { return f1 >= best - 1e-12; }) -
      smooth_f1.begin());
  result.best_confidence = confidences()[at];
  for (size_t c = 0; c < result.classes.size(); ++c) {
    ClassPrecision& quality = result.classes[c];
    quality.precision = result.curves[c].precision[at];
    quality.recall = result.curves[c].recall[at];
    quality.f1 = result.curves[c].f1[at];
    const double hits = std::nearbyint(quality.recall * static_cast<double>(quality.labels));
    quality.true_positives = static_cast<int64_t>(hits);
    quality.false_positives =
        static_cast<int64_t>(std::nearbyint(hits / (quality.precision + kEpsilon) - hits));
  }
}

}  // namespace

double ClassPrecision::ap() const {
  return std::accumulate(average_precision.begin(), average_precision.end(), 0.0) / kIouThresholdCount;
}

const std::vector<double>& confidences() {
  static const std::vector<double> grid = unit_grid(kConfidenceCount);
  return grid;
}

AveragePrecision average_precision(std::span<const ImageStatistics> images) {
  AveragePrecision result;
  std::map<int, int64_t> labels;
  for (const ImageStatistics& image : images) {
    for (const int32_t target : image.target_classes) {
      ++labels[target];
    }
  }
  std::map<int, std::vector<ScoredDetection>> detections;
  for (const ImageStatistics& image : images) {
    for (size_t d = 0; d < image.scores.size(); ++d) {
      result.has_true_positive = result.has_true_positive || image.correct[d] != 0;
      if (labels.contains(image.classes[d])) {
        detections[image.classes[d]].push_back({image.scores[d], image.correct[d]});
      }
    }
  }
  for (const auto& [class_index, count] : labels) {
    ClassPrecision& quality = result.classes.emplace_back();
    quality.class_index = class_index;
    quality.labels = count;
    std::vector<ScoredDetection>& of_class = detections[class_index];
    std::stable_sort(of_class.begin(), of_class.end(),
                     [](const ScoredDetection& a, const ScoredDetection& b) { return a.score > b.score; });
    measure_class(of_class, quality, result.curves.emplace_back());
  }
  if (!result.classes.empty() && result.has_true_positive) {
    choose_confidence(result);
  } else {
    for (ClassCurves& curves : result.curves) {
      curves.f1.assign(confidences().size(), 0.0);
    }
  }
  return result;
}

}  // namespace yolodist::eval
