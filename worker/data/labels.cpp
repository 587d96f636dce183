// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/data/labels.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <numeric>
#include <optional>
#include <system_error>

#include "common/base/error.h"
#include "common/base/text.h"

namespace yolodist::data {
namespace {

using Row = std::vector<float>;  // class and coordinates as read

struct NumberedRow {
  int line = 0;
  Row values;
};

bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\f' || c == '\v';
}

std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  size_t at = 0;
  while (at < line.size()) {
    while (at < line.size() && is_blank(line[at])) {
      ++at;
    }
    const size_t begin = at;
    while (at < line.size() && !is_blank(line[at])) {
      ++at;
    }
    if (at > begin) {
      words.push_back(line.substr(begin, at - begin));
    }
  }
  return words;
}

// Through double to float, as NumPy reads text, which rounds twice.
std::optional<float> number(std::string_view word) {
  if (!word.empty() && word.front() == '+') {
    word.remove_prefix(1);
  }
  double value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (end != word.data() + word.size() || (error != std::errc() && error != std::errc::result_out_of_range)) {
    return std::nullopt;
  }
  if (error ==
      std::errc::result_out_of_range) {  // value is untouched: too large, or so small that it is nothing
    return word.find("e-") != std::string_view::npos || word.find("E-") != std::string_view::npos ? 0.0f
                                                                                                  : HUGE_VALF;
  }
  return static_cast<float>(value);
}

// Takes a line off the text: it ends in LF, CR LF or, as on old Macs, CR.
std::string_view take_line(std::string_view& text) {
  const size_t end = std::min(text.find_first_of("\r\n"), text.size());
  const std::string_view line = text.substr(0, end);
  const size_t ending = text.substr(end, 2) == "\r\n" ? 2 : 1;
  text.remove_prefix(std::min(end + ending, text.size()));
  return line;
}

// The rows with at least one value, or a problem.
std::vector<NumberedRow> read_rows(std::string_view text, std::string& problem) {
  std::vector<NumberedRow> rows;
  if (text.substr(0, 3) == "\xEF\xBB\xBF") {
    text.remove_prefix(3);
  }
  int line_number = 0;
  while (!text.empty()) {
    const std::string_view line = take_line(text);
    ++line_number;
    NumberedRow row{line_number, {}};
    for (const std::string_view word : words_of(line)) {
      const std::optional<float> value = number(word);
      if (!value) {
        problem = cat(
            "row ", line_number, ": \"", word.substr(0, 40), "\" is not a number",
            word.find(',') == std::string_view::npos ? "" : "; values are separated by spaces, not commas");
        return {};
      }
      row.values.push_back(*value);
    }
    if (!row.values.empty()) {
      rows.push_back(std::move(row));
    }
  }
  return rows;
}

// The polygon of a row; of a box its corners.
Polygon polygon_of(const Row& row) {
  if (row.size() == 5) {
    const float x1 = row[1] - row[3] / 2, y1 = row[2] - row[4] / 2;
    const float x2 = row[1] + row[3] / 2, y2 = row[2] + row[4] / 2;
    return {{x1, y1}, {x2, y1}, {x2, y2}, {x1, y2}};
  }
  Polygon polygon;
  for (size_t i = 1; i + 1 < row.size(); i += 2) {
    polygon.push_back({row[i], row[i + 1]});
  }
  return polygon;
}

Row box_of(const Row& row) {
  float x1 = row[1], x2 = row[1], y1 = row[2], y2 = row[2];
  for (size_t i = 3; i + 1 < row.size(); i += 2) {
    x1 = std::min(x1, row[i]), x2 = std::max(x2, row[i]);
    y1 = std::min(y1, row[i + 1]), y2 = std::max(y2, row[i + 1]);
  }
  return {row[0], (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1};
}

// Turns polygon rows into their boxes, in place; returns the polygons.
std::vector<Polygon> boxes_from_polygons(std::vector<NumberedRow>& rows, std::string& problem) {
  std::vector<Polygon> polygons;
  for (NumberedRow& row : rows) {
    if (row.values.size() != 5 && (row.values.size() < 7 || row.values.size() % 2 == 0)) {
      problem = cat("row ", row.line, ": ", row.values.size(), " values are neither a box nor a polygon");
      return {};
    }
    polygons.push_back(polygon_of(row.values));
    if (row.values.size() != 5) {
      row.values = box_of(row.values);
    }
  }
  return polygons;
}

std::string row_problem(const NumberedRow& row) {
  if (row.values.size() != 5) {
    return cat("row ", row.line, ": ", row.values.size(), " columns, labels have 5 (class x y w h)");
  }
  for (size_t i = 0; i < 5; ++i) {
    if (!(row.values[i] >= 0)) {  // not a number is refused here too
      return cat("row ", row.line, ": ", exact_decimal(row.values[i]), " is negative or not a number");
    }
    if (i > 0 && row.values[i] > 1) {
      return cat("row ", row.line, ": ", exact_decimal(row.values[i]),
                 " is over 1; coordinates are fractions of the picture");
    }
  }
  if (row.values[0] != std::floor(row.values[0])) {
    return cat("row ", row.line, ": class ", exact_decimal(row.values[0]), " is not a whole number");
  }
  return "";
}

// The rows to keep, each once. Sorted by value when any repeats another, else as they stand, as NumPy's
// unique and YOLOv5's use of it leave them.
std::vector<size_t> unique_rows(const std::vector<NumberedRow>& rows) {
  std::vector<size_t> order(rows.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::vector<size_t> sorted = order;
  std::stable_sort(sorted.begin(), sorted.end(),
                   [&](size_t a, size_t b) { return rows[a].values < rows[b].values; });
  sorted.erase(std::unique(sorted.begin(), sorted.end(),
                           [&](size_t a, size_t b) { return rows[a].values == rows[b].values; }),
               sorted.end());
  return sorted.size() < rows.size() ? sorted : order;
}

}  // namespace

Labels parse_labels(std::string_view text, const LabelRules& rules, const std::filesystem::path& file) {
  Labels labels;
  std::vector<NumberedRow> rows = read_rows(text, labels.problem);
  const bool has_polygons =
      std::any_of(rows.begin(), rows.end(), [](const NumberedRow& row) { return row.values.size() > 6; });
  std::vector<Polygon> polygons;
  if (has_polygons) {
    polygons = boxes_from_polygons(rows, labels.problem);
  }
  for (size_t i = 0; i < rows.size() && labels.problem.empty(); ++i) {
    labels.problem = row_problem(rows[i]);
  }
  if (!labels.problem.empty()) {
    return labels;
  }
  for (const NumberedRow& row : rows) {
    if (!rules.single_cls && row.values[0] >= static_cast<float>(rules.class_count)) {
      const std::string data = rules.data_file.empty() ? "the data set" : rules.data_file.filename().string();
      throw DataError(cat(file.string(), ":", row.line, ": class ", exact_decimal(row.values[0]), ", ", data,
                          " has ", rules.class_count, " (0-", rules.class_count - 1, ")"),
                      "Fix the label, or the names in the data yaml");
    }
  }
  const std::vector<size_t> kept = unique_rows(rows);
  labels.duplicate_count = static_cast<int>(rows.size() - kept.size());
  for (const size_t i : kept) {
    const Row& v = rows[i].values;
    labels.targets.push_back({rules.single_cls ? 0 : static_cast<int>(v[0]), v[1], v[2], v[3], v[4]});
    if (has_polygons) {
      labels.segments.push_back(std::move(polygons[i]));
    }
  }
  return labels;
}

std::filesystem::path label_path(const std::filesystem::path& picture) {
  constexpr std::string_view images = "/images/", labels = "/labels/";
  std::string text = picture.string();
  const size_t at = text.rfind(images);
  if (at != std::string::npos) {
    text.replace(at, images.size(), labels);
  } else if (text.rfind(images.substr(1), 0) == 0) {  // relative to the working folder
    text.replace(0, images.size() - 1, labels.substr(1));
  }
  const size_t dot = text.rfind('.');
  if (dot != std::string::npos && text.find('/', dot) == std::string::npos) {
    text.erase(dot);
  }
  return text + ".txt";
}

}  // namespace yolodist::data
