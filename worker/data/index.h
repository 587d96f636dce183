// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "worker/data/labels.h"
#include "worker/data/sample.h"

namespace yolodist::data {

// A picture of the data set with its labels; Target and Polygon are fractions of the picture.
struct Picture {
  std::filesystem::path path;
  std::filesystem::path label_path;  // exists or not
  int width_px = 0, height_px = 0;   // as shown, turned by EXIF
  std::vector<Target> targets;
  std::vector<Polygon> segments;  // one a target, or none
  // The picture file when it was scanned: what tells that a cache is of other files.
  uint64_t file_bytes = 0;
  int64_t modified_ns = 0;  // since 1970
};

// What a scan met.
struct Scan {
  struct Remark {
    std::filesystem::path path;
    std::string text;
  };
  int64_t found = 0;             // pictures with at least one box
  int64_t missing = 0;           // backgrounds: no label file
  int64_t empty = 0;             // backgrounds: a label file without boxes
  std::vector<Remark> left_out;  // and why, in the order of the paths
  std::vector<Remark> notes;     // pictures used, but worth a look: repeated rows, no end marker

  int64_t total() const { return found + missing + empty + static_cast<int64_t>(left_out.size()); }
};

// The pictures of one split that can be used, sorted by path. Plain data, read-only once built.
struct Index {
  std::vector<Picture> pictures;
  Scan scan;

  int64_t box_count() const;
};

struct ScanOptions {
  LabelRules labels;
  int threads = 1;
};

// Opens the pictures [first, first + count) of `paths`, mostly their headers only, and their label files. The
// rest could be scanned by other ranks: joining the parts in order gives what one scan of all gives. Throws
// DataError as parse_labels does; of several the first by path.
Index scan_range(const std::vector<std::filesystem::path>& paths, size_t first, size_t count,
                 const ScanOptions& options);
Index join_parts(std::vector<Index> parts);

// Lists and scans everything. Throws DataError as list_pictures and scan_range, and when no picture is left.
Index build_index(const std::vector<std::filesystem::path>& entries, const ScanOptions& options);

// Throws DataError when no picture of the entries can be used.
void require_pictures(const Index& index, const std::vector<std::filesystem::path>& entries);
// Throws DataError when there is not one box to learn from.
void require_boxes(const Index& index, const std::vector<std::filesystem::path>& entries);

// "data: 3 of 205 pictures left out, see logs/data.txt"; "" when none was.
std::string left_out_line(const Scan& scan);
// The content of logs/data.txt for a split ("train", "val"): the counts, then one line a picture left out or
// noted.
std::string scan_report(const Scan& scan, const std::string& split);

}  // namespace yolodist::data
