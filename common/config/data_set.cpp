// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/config/data_set.h"

#include <algorithm>
#include <map>
#include <set>

#include <yaml-cpp/yaml.h>

#include "common/base/atomic_file.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/text.h"
#include "common/config/yaml_reading.h"

namespace yolodist::config {
namespace {

namespace fs = std::filesystem;

std::string with_slashes(std::string text) {
  std::replace(text.begin(), text.end(), '\\', '/');
  return trimmed(text);
}

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored) || fs::is_regular_file(path, ignored);
}

// Without "." and "..", unless that would lead elsewhere because of a symbolic link. Links themselves are
// kept: the label path is found by replacing /images/ in the path as the user wrote it.
fs::path tidied(const fs::path& path) {
  std::error_code failure;
  fs::path normal = path.lexically_normal();
  if (!normal.has_filename()) {
    normal = normal.parent_path();
  }
  return fs::equivalent(path, normal, failure) && !failure ? normal : path;
}

// The folders that `path:` can mean, in the order of trying.
std::vector<fs::path> possible_roots(const YAML::Node& document, const fs::path& yaml_folder,
                                     const std::string& where) {
  const YAML::Node node = document["path"];
  const fs::path written = has_value(node) ? with_slashes(read_text(node, where, "path")) : std::string(".");
  if (written.is_absolute()) {
    return {written};
  }
  std::vector<fs::path> roots = {yaml_folder / written};
  const fs::path from_working_folder = fs::absolute(written);
  std::error_code ignored;
  if (!fs::equivalent(roots.front(), from_working_folder, ignored)) {
    roots.push_back(from_working_folder);
  }
  return roots;
}

std::vector<fs::path> places_of(const std::vector<fs::path>& roots, const std::string& written) {
  std::vector<fs::path> places;
  for (const fs::path& root : roots) {
    places.push_back(root / written);  // an absolute `written` replaces the root
    if (written.starts_with("../")) {
      places.push_back(root / written.substr(3));
    }
  }
  places.erase(std::unique(places.begin(), places.end()), places.end());
  return places;
}

struct Split {
  const YAML::Node& document;
  const std::string& where;
  const std::vector<fs::path>& roots;

  // The first existing place; with `required` an error that names them all, else an empty path.
  fs::path resolved(const YAML::Node& node, const std::string& key, bool required) const {
    const std::string written = with_slashes(read_text(node, where, key));
    const std::vector<fs::path> places = places_of(roots, written);
    for (const fs::path& place : places) {
      if (is_there(place)) {
        return tidied(place);
      }
    }
    if (!required) {
      return {};
    }
    std::vector<std::string> tried;
    for (const fs::path& place : places) {
      tried.push_back(place.lexically_normal().string());
    }
    const bool has_download = has_value(document["download"]);
    throw DataError(cat(place_of(node, where), ": the ", key, " path '", written, "' does not exist; tried ",
                        join(tried, ", ")),
                    has_download ? cat("The yaml has a download key, but yolodist does not download: fetch "
                                       "the pictures yourself to ",
                                       tried.front(), ".")
                                 : "Correct path or " + key + " in the yaml.");
  }

  std::vector<fs::path> read(const std::string& key, bool required) const {
    const YAML::Node node = document[key];
    std::vector<fs::path> paths;
    if (node.IsDefined() && node.IsSequence()) {
      for (const YAML::Node& element : node) {
        paths.push_back(resolved(element, key, required));
      }
    } else if (has_value(node)) {
      paths.push_back(resolved(node, key, required));
    }
    std::erase(paths, fs::path());
    if (paths.empty() && required) {
      throw DataError(cat(place_of(node, where), ": no ", key, " path"),
                      cat("Add a line such as '", key, ": images/", key, "'."));
    }
    return paths;
  }
};

std::vector<std::string> names_of_map(const YAML::Node& node, const std::string& where) {
  require_mapping(node, where, "names");
  std::map<int64_t, std::string> by_index;
  for (const auto& entry : node) {
    const int64_t index = read_integer(entry.first, where, "a key of names");
    by_index[index] = read_text(entry.second, where, cat("the name of class ", index));
  }
  std::vector<std::string> names;
  for (const auto& [index, name] : by_index) {
    if (index != static_cast<int64_t>(names.size())) {
      throw DataError(
          cat(place_of(node, where), ": names has no class ", names.size(), " but a class ", index),
          "Number the classes 0, 1, 2, … without a gap.");
    }
    names.push_back(name);
  }
  return names;
}

std::vector<std::string> read_names(const YAML::Node& document, const std::string& where) {
  const YAML::Node node = document["names"];
  std::vector<std::string> names;
  if (node.IsDefined() && node.IsMap()) {
    names = names_of_map(node, where);
  } else if (node.IsDefined() && node.IsSequence()) {
    for (const YAML::Node& element : node) {
      names.push_back(read_text(element, where, cat("the name of class ", names.size())));
    }
  } else if (has_value(node)) {
    throw DataError(cat(place_of(node, where), ": names should be a list or a map of numbers to names, is ",
                        shown(node)));
  }
  if (names.empty()) {
    throw DataError(cat(place_of(node, where), ": no class names"),
                    "Add them, for example 'names: [cat, dog]'.");
  }
  return names;
}

void check_class_count(const YAML::Node& document, const std::vector<std::string>& names,
                       const std::string& where) {
  const YAML::Node node = document["nc"];
  if (!has_value(node)) {
    return;
  }
  const int64_t count = read_integer(node, where, "nc");
  if (count != static_cast<int64_t>(names.size())) {
    throw DataError(cat(place_of(node, where), ": nc is ", count, ", but there are ", names.size(), " names"),
                    "Correct one of them; nc may be left out.");
  }
}

void warn_of_repeated_names(const std::vector<std::string>& names, const std::string& where) {
  std::set<std::string> seen;
  for (const std::string& name : names) {
    if (!seen.insert(name).second) {
      log::warning(cat(where, ": two classes are called '", name, "'"));
    }
  }
}

YAML::Node read_document(const fs::path& file) {
  const std::string where = file.string();
  std::error_code ignored;
  if (fs::is_directory(file, ignored)) {
    throw DataError(cat(where, " is a folder"), "Give the data yaml inside it.");
  }
  YAML::Node document = parse_yaml(read_file(file), where);
  require_mapping(document, where, "a data yaml");
  return document;
}

}  // namespace

std::vector<std::string> read_class_names(const fs::path& file) {
  const std::string where = file.string();
  const YAML::Node document = read_document(file);
  std::vector<std::string> names = read_names(document, where);
  check_class_count(document, names, where);
  return names;
}

DataSet read_data_set(const fs::path& file, bool single_cls) {
  const std::string where = file.string();
  const YAML::Node document = read_document(file);

  DataSet set;
  set.file = fs::absolute(file).lexically_normal();
  set.names = read_names(document, where);
  check_class_count(document, set.names, where);
  warn_of_repeated_names(set.names, where);
  if (single_cls && set.names.size() > 1) {
    set.names = {"item"};
  }
  const std::vector<fs::path> roots = possible_roots(document, fs::absolute(file).parent_path(), where);
  const Split split{document, where, roots};
  set.train = split.read("train", true);
  set.val = split.read("val", true);
  set.test = split.read("test", false);
  return set;
}

}  // namespace yolodist::config
