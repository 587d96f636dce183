// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/config/share_folder.h"

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "common/base/error.h"
#include "common/base/text.h"

namespace yolodist::config {
namespace {

namespace fs = std::filesystem;

bool is_share_folder(const fs::path& folder) {
  std::error_code ignored;
  return fs::is_directory(folder / "models", ignored) && fs::is_directory(folder / "hyps", ignored);
}

std::vector<std::string> shipped_names(const fs::path& folder) {
  std::vector<std::string> names;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".yaml") {
      names.push_back(entry.path().stem().string());
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

fs::path share_folder() {
  if (const char* wanted = std::getenv("YOLODIST_SHARE"); wanted != nullptr && *wanted != '\0') {
    if (!is_share_folder(wanted)) {
      throw DataError(cat("YOLODIST_SHARE is ", wanted, ", which has no folders models and hyps"),
                      "Point it at yolodist's share folder, or unset it.");
    }
    return fs::absolute(wanted).lexically_normal();
  }
  std::error_code failure;
  const fs::path program = fs::read_symlink("/proc/self/exe", failure);
  if (failure) {
    throw DataError(cat("cannot find this program's own path: ", failure.message()),
                    "Set YOLODIST_SHARE to yolodist's share folder.");
  }
  std::vector<fs::path> places = {program.parent_path().parent_path() / "share" / "yolodist"};
  for (fs::path folder = program.parent_path(); folder.has_relative_path(); folder = folder.parent_path()) {
    places.push_back(folder / "share" / "yolodist");
  }
  std::vector<std::string> tried;
  for (const fs::path& place : places) {
    if (is_share_folder(place)) {
      return place;
    }
    if (std::find(tried.begin(), tried.end(), place.string()) == tried.end()) {
      tried.push_back(place.string());
    }
  }
  throw DataError(cat("yolodist's shipped models are nowhere; tried ", join(tried, ", ")),
                  "Install yolodist as a whole, or set YOLODIST_SHARE to its share folder.");
}

fs::path find_shipped(std::string_view name_or_path, std::string_view kind) {
  const fs::path given(name_or_path);
  std::error_code ignored;
  if (fs::is_regular_file(given, ignored)) {
    return given;
  }
  const fs::path folder = share_folder() / kind;
  const std::string stem = given.extension() == ".yaml" ? given.stem().string() : given.filename().string();
  if (!given.has_parent_path()) {
    const fs::path shipped = folder / (stem + ".yaml");
    if (!stem.empty() && fs::is_regular_file(shipped, ignored)) {
      return shipped;
    }
  }
  const std::vector<std::string> names = shipped_names(folder);
  const std::string guess = nearest(stem, names);
  throw DataError(
      cat("'", name_or_path, "' is neither a file nor one of the shipped ", kind, ": ", join(names, ", ")),
      guess.empty() ? "" : cat("Did you mean ", guess, "?"));
}

}  // namespace yolodist::config
