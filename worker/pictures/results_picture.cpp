// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>

#include "common/base/atomic_file.h"
#include "common/base/error.h"
#include "common/base/text.h"
#include "worker/pictures/chart.h"
#include "worker/pictures/pictures.h"

namespace yolodist::pictures {
namespace {

constexpr int kColumns = 5, kRows = 2;
constexpr int kPanelWidth_px = 400, kPanelHeight_px = 360, kLegend_px = 40;
// Columns of results.csv in the order of the panels. Source: ultralytics/yolov5 v7.0 utils/plots.py,
// plot_results.
constexpr std::array<size_t, kColumns* kRows> kShownColumns = {1, 2, 3, 4, 5, 8, 9, 10, 6, 7};
constexpr size_t kColumnCount = 14;
constexpr double kSmoothing_epochs = 3;  // deviation of the smoothing bell curve
constexpr int kLeastForSmoothing = 5;    // epochs

struct Table {
  std::vector<std::string> names;            // of the columns
  std::vector<std::vector<double>> columns;  // what is no number is NaN
};

double number_in(const std::string& cell) {
  char* end = nullptr;
  const double value = std::strtod(cell.c_str(), &end);
  return end == cell.c_str() ? NAN : value;
}

Table read_table(const std::filesystem::path& file) {
  const std::string text = read_file(file);
  std::vector<std::string> lines = split(text, '\n');
  lines.pop_back();  // empty, or a line that is not whole
  if (lines.empty()) {
    throw DataError(cat(file.string(), ": there is no header"));
  }
  Table table;
  for (const std::string& name : split(lines.front(), ',')) {
    table.names.push_back(trimmed(name));
  }
  if (table.names.size() < kColumnCount) {
    throw DataError(
        cat(file.string(), ":1: ", table.names.size(), " columns, a results.csv has ", kColumnCount));
  }
  table.columns.resize(table.names.size());
  for (size_t i = 1; i < lines.size(); ++i) {
    const std::vector<std::string> cells = split(lines[i], ',');
    for (size_t c = 0; cells.size() == table.names.size() && c < cells.size(); ++c) {
      table.columns[c].push_back(number_in(trimmed(cells[c])));
    }
  }
  return table;
}

// Weighted by a bell curve over the neighbours that are numbers.
std::vector<double> smoothed(const std::vector<double>& values) {
  const auto reach = static_cast<std::ptrdiff_t>(4 * kSmoothing_epochs);
  const auto count = static_cast<std::ptrdiff_t>(values.size());
  std::vector<double> smooth(values.size(), NAN);
  for (std::ptrdiff_t i = 0; i < count; ++i) {
    double sum = 0, weights = 0;
    for (std::ptrdiff_t j = std::max<std::ptrdiff_t>(0, i - reach); j < std::min(count, i + reach + 1); ++j) {
      const double value = values[static_cast<size_t>(j)];
      if (std::isfinite(value)) {
        const double distance = static_cast<double>(j - i) / kSmoothing_epochs;
        const double weight = std::exp(-0.5 * distance * distance);
        sum += weight * value;
        weights += weight;
      }
    }
    if (weights > 0) {
      smooth[static_cast<size_t>(i)] = sum / weights;
    }
  }
  return smooth;
}

void draw_panel(cv::Mat& canvas, cv::Point corner, const Table& table, size_t column) {
  const std::vector<double>& epochs = table.columns[0];
  const std::vector<double>& values = table.columns[column];
  Chart chart;
  chart.plot = {corner.x + 70, corner.y + 40, kPanelWidth_px - 90, kPanelHeight_px - 95};
  chart.title = ascii_text(table.names[column]);
  chart.x.title = "epoch";
  chart.x.is_whole = true;
  chart.x.range = range_of(epochs);
  chart.y.range = range_of(values);
  draw_frame(canvas, chart);
  const bool is_short = values.size() <= 60;
  draw_curve(canvas, chart, epochs, values, palette_colour(1), is_short ? 2 : 1);
  if (is_short) {
    draw_points(canvas, chart, epochs, values, palette_colour(1), 3);
  }
  if (values.size() >= kLeastForSmoothing) {
    draw_curve(canvas, chart, epochs, smoothed(values), palette_colour(3), 2);
  }
  if (std::none_of(values.begin(), values.end(), [](double value) { return std::isfinite(value); })) {
    draw_note(canvas, chart.plot, values.empty() ? "no epochs" : "no finite value");
  }
}

cv::Mat picture(const std::filesystem::path& results_csv) {
  const Table table = read_table(results_csv);
  cv::Mat canvas = blank(kColumns * kPanelWidth_px, kRows * kPanelHeight_px + kLegend_px);
  for (size_t i = 0; i < kShownColumns.size(); ++i) {
    const int column = static_cast<int>(i) % kColumns, row = static_cast<int>(i) / kColumns;
    draw_panel(canvas, {column * kPanelWidth_px, row * kPanelHeight_px}, table, kShownColumns[i]);
  }
  if (table.columns[0].size() >= kLeastForSmoothing) {
    draw_legend(canvas, {canvas.cols / 2 - 130, canvas.rows - 34}, 100, {{"value", "", palette_colour(1)}});
    draw_legend(canvas, {canvas.cols / 2 + 10, canvas.rows - 34}, 140, {{"smoothed", "", palette_colour(3)}});
  }
  return canvas;
}

}  // namespace

void draw_results(const std::filesystem::path& file, const std::filesystem::path& results_csv) {
  write_picture(file, [&] { return picture(results_csv); });
}

}  // namespace yolodist::pictures
