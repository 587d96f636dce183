// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace yolodist::config {

// A data yaml, resolved: where the pictures of each split are and what the classes are called.
struct DataSet {
  std::filesystem::path file;                // the yaml itself
  std::vector<std::filesystem::path> train;  // existing folders or list files, absolute
  std::vector<std::filesystem::path> val;
  std::vector<std::filesystem::path> test;  // may be empty
  std::vector<std::string> names;           // class index -> name
  int class_count() const { return static_cast<int>(names.size()); }
};

// Reads and resolves a data yaml: `path:` against the yaml's own folder, then as it is (absolute or relative
// to the working folder), `../x` also as `x` where `../x` does not exist, strings or lists, names as list or
// map, CRLF, BOM and Windows slashes. With `single_cls` and several names there is one class, "item". Throws
// DataError with file and line: not there, does not parse, no names, nc that disagrees with names, a class
// index missing from the map, a train or val path that does not exist (all places tried are named).
DataSet read_data_set(const std::filesystem::path& file, bool single_cls);

// The class names alone, of a yaml whose pictures need not be there.
std::vector<std::string> read_class_names(const std::filesystem::path& file);

}  // namespace yolodist::config
