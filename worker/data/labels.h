// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "worker/data/sample.h"

namespace yolodist::data {

// Fractions of the picture.
struct Point {
  float x = 0, y = 0;
};
using Polygon = std::vector<Point>;

// What a label file holds.
struct Labels {
  std::vector<Target> targets;
  std::vector<Polygon> segments;  // one a target if the file has polygons, else none
  int duplicate_count = 0;        // rows left out because they repeat another
  std::string problem;            // why the file cannot be used ("row 3: ..."); "" when it can
};

struct LabelRules {
  int class_count = 0;
  bool single_cls = false;          // every class becomes 0, whatever its number
  std::filesystem::path data_file;  // the data yaml, for messages; may be empty
};

// Reads rows `class x y w h` or, if any row has more than 6 values, polygons `class x1 y1 x2 y2 ...`, whose
// box is their hull. Rows have exactly 5 columns, no negative value, no coordinate over 1; repeated rows are
// removed, which leaves the rows sorted. CRLF, CR alone, a byte order mark and blank lines are
// allowed. Differs from
// YOLOv5: a 5-value row among polygons is a box (there: misread as a polygon of two points). Throws DataError
// with file and line for a class past `class_count` in a file that is otherwise good. Source:
// ultralytics/yolov5 v7.0 utils/dataloaders.py, verify_image_label.
Labels parse_labels(std::string_view text, const LabelRules& rules, const std::filesystem::path& file);

// Where the labels of a picture are: the last "/images/" becomes "/labels/", the extension ".txt". Text only:
// links are not resolved.
std::filesystem::path label_path(const std::filesystem::path& picture);

}  // namespace yolodist::data
