// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/commands/picture_source.h"

#include <fnmatch.h>

#include <algorithm>

#include "common/base/atomic_file.h"
#include "common/base/error.h"
#include "common/base/text.h"
#include "worker/data/picture_list.h"

namespace yolodist::commands {
namespace {

namespace fs = std::filesystem;

bool is_pattern(const std::string& text) {
  return text.find_first_of("*?") != std::string::npos;
}

std::vector<fs::path> entries_of(const fs::path& folder) {
  std::vector<fs::path> entries;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error); !error && entry != fs::directory_iterator();
       entry.increment(error)) {
    entries.push_back(entry->path());
  }
  if (error) {
    throw DataError(cat(folder.string(), ": cannot be listed: ", error.message()));
  }
  return entries;
}

bool is_hidden(const fs::path& path) {
  return path.filename().string().starts_with('.');
}

bool is_folder(const fs::path& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

// Adds what fits parts[first…] below `folder`. Links to folders are not followed by **.
void expand(const fs::path& folder, const std::vector<std::string>& parts, size_t first,
            std::vector<std::string>& files) {
  if (first == parts.size()) {
    files.push_back(folder.string());
    return;
  }
  const std::string& part = parts[first];
  std::error_code ignored;
  if (!is_pattern(part)) {
    if (fs::exists(folder / part, ignored)) {
      expand(folder / part, parts, first + 1, files);
    }
    return;
  }
  const bool is_deep = part == "**";
  if (is_deep && first + 1 < parts.size()) {
    expand(folder, parts, first + 1, files);
  }
  if (!is_folder(folder)) {
    return;
  }
  for (const fs::path& entry : entries_of(folder)) {
    if (is_deep) {
      if (is_folder(entry) && !is_hidden(entry) && !fs::is_symlink(entry, ignored)) {
        expand(entry, parts, first, files);
      } else if (first + 1 == parts.size() && !is_hidden(entry)) {
        files.push_back(entry.string());
      }
    } else if (::fnmatch(part.c_str(), entry.filename().c_str(), FNM_PERIOD | FNM_NOESCAPE) == 0) {
      expand(entry, parts, first + 1, files);
    }
  }
}

std::vector<std::string> expanded(const std::string& pattern) {
  std::vector<std::string> parts, files;
  for (const std::string& part : split(pattern, '/')) {
    if (!part.empty()) {
      parts.push_back(part);
    }
  }
  expand(pattern.starts_with('/') ? "/" : ".", parts, 0, files);
  std::sort(files.begin(), files.end());
  files.erase(std::unique(files.begin(), files.end()), files.end());
  return files;
}

void add(const std::string& source, PictureSource& found) {
  std::error_code ignored;
  std::vector<std::string> files;
  if (is_folder(source)) {
    for (const fs::path& entry : entries_of(source)) {
      if (!is_hidden(entry) && !is_folder(entry)) {
        files.push_back(entry.string());
      }
    }
    std::sort(files.begin(), files.end());
  } else if (fs::exists(source, ignored)) {
    files.push_back(source);
  } else if (is_pattern(source)) {
    files = expanded(source);
  } else {
    throw DataError(cat(source, ": no such file or folder"), "Correct --source.");
  }
  for (const std::string& file : files) {
    if (data::has_picture_extension(file) && !is_folder(file)) {
      found.pictures.emplace_back(file);
    } else {
      found.others += is_folder(file) ? 0 : 1;
    }
  }
}

void add_list(const fs::path& list, PictureSource& found) {
  for (const std::string& raw : split(read_file(list), '\n')) {
    const std::string line = trimmed(raw);
    if (line.empty()) {
      continue;
    }
    std::error_code ignored;
    const fs::path beside = list.parent_path() / line;
    const bool is_beside = !is_pattern(line) && !fs::exists(line, ignored) && fs::exists(beside, ignored);
    add(is_beside ? beside.string() : line, found);
  }
}

}  // namespace

PictureSource list_source(const std::string& source) {
  PictureSource found;
  std::error_code ignored;
  if (lower(source).ends_with(".txt") && fs::is_regular_file(source, ignored)) {
    add_list(source, found);
  } else {
    add(source, found);
  }
  if (found.pictures.empty()) {
    throw DataError(cat("no pictures in ", source),
                    "Give bmp, dng, jpeg, jpg, mpo, png, tif, tiff, webp or pfm files.");
  }
  return found;
}

}  // namespace yolodist::commands
