// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/data/picture_list.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "common/base/atomic_file.h"
#include "common/base/error.h"
#include "common/base/text.h"

namespace yolodist::data {
namespace {

namespace fs = std::filesystem;

// A folder's identity, to stop at a link to a folder that it lies in.
using FolderId = std::pair<uint64_t, uint64_t>;

FolderId folder_id(const fs::path& folder) {
  struct stat status {};
  if (::stat(folder.c_str(), &status) != 0) {
    return {};
  }
  return {status.st_dev, status.st_ino};
}

void add_folder(const fs::path& folder, std::vector<FolderId>& above, std::vector<std::string>& pictures) {
  const FolderId id = folder_id(folder);
  if (std::find(above.begin(), above.end(), id) != above.end()) {
    return;
  }
  above.push_back(id);
  std::error_code error;
  fs::directory_iterator entry(folder, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    if (entry->path().filename().string().front() == '.') {
      continue;
    }
    std::error_code no_target;  // of a dangling link: then it is no folder
    if (entry->is_directory(no_target)) {
      add_folder(entry->path(), above, pictures);
    } else if (has_picture_extension(entry->path())) {
      pictures.push_back(entry->path().string());
    }
  }
  if (error) {
    throw DataError(cat(folder.string(), ": cannot be listed: ", error.message()));
  }
  above.pop_back();
}

std::string resolved_line(std::string line, const fs::path& list_folder) {
  std::error_code error;
  if (line.find('\\') != std::string::npos && !fs::exists(line, error)) {
    std::replace(line.begin(), line.end(), '\\', '/');
  }
  if (line.rfind("./", 0) == 0) {
    return (list_folder / line.substr(2)).string();
  }
  if (fs::path(line).is_relative() && !fs::exists(line, error)) {
    const fs::path beside = list_folder / line;
    if (fs::exists(beside, error)) {
      return beside.string();
    }
  }
  return line;
}

void add_list(const fs::path& list, std::vector<std::string>& pictures) {
  const std::string content = read_file(list);
  std::string_view text = content;
  if (text.substr(0, 3) == "\xEF\xBB\xBF") {
    text.remove_prefix(3);
  }
  if (text.find('\0') != std::string_view::npos) {
    throw DataError(cat(list.string(), ": neither a picture, nor a folder, nor a list of pictures"));
  }
  std::string lines(text);
  std::replace(lines.begin(), lines.end(), '\r', '\n');  // of CR LF one blank line is left
  for (const std::string& raw : split(lines, '\n')) {
    const std::string line = trimmed(raw);
    if (!line.empty() && has_picture_extension(line)) {
      pictures.push_back(resolved_line(line, list.parent_path()));
    }
  }
}

// A folder of labels given for one of pictures is told by the pictures' folder beside it.
std::string hint_for(const std::vector<fs::path>& entries) {
  constexpr std::string_view labels = "/labels", images = "/images";
  for (const fs::path& entry : entries) {
    std::string path = entry.string();
    const size_t at = (path + "/").rfind("/labels/");
    std::error_code error;
    if (at != std::string::npos && fs::exists(path.replace(at, labels.size(), images), error)) {
      return cat("That folder is for labels; the pictures may be in ", path);
    }
  }
  return "Give a folder or list of bmp, dng, jpeg, jpg, mpo, png, tif, tiff, webp or pfm files";
}

}  // namespace

bool has_picture_extension(const fs::path& path) {
  static constexpr std::array<std::string_view, 10> known = {"bmp", "dng", "jpeg", "jpg",  "mpo",
                                                             "png", "tif", "tiff", "webp", "pfm"};
  const std::string name = path.string();
  const size_t dot = name.rfind('.');
  return dot != std::string::npos &&
         std::find(known.begin(), known.end(), lower(std::string_view(name).substr(dot + 1))) != known.end();
}

std::vector<fs::path> list_pictures(const std::vector<fs::path>& entries) {
  std::vector<std::string> pictures;
  std::vector<std::string> names;
  for (const fs::path& entry : entries) {
    names.push_back(entry.string());
    std::error_code error;
    if (fs::is_directory(entry, error)) {
      std::vector<FolderId> above;
      add_folder(entry, above, pictures);
    } else if (!fs::is_regular_file(entry, error)) {
      throw DataError(cat(entry.string(), ": no such file or folder"), "Correct the path in the data yaml");
    } else if (has_picture_extension(entry)) {
      pictures.push_back(entry.string());
    } else {
      add_list(entry, pictures);
    }
  }
  if (pictures.empty()) {
    throw DataError(cat("no pictures in ", names.empty() ? "an empty list of paths" : join(names, ", ")),
                    hint_for(entries));
  }
  // As text, byte by byte: comparing as paths would sort "a/b" before "a-b/c".
  std::sort(pictures.begin(), pictures.end());
  return {pictures.begin(), pictures.end()};
}

}  // namespace yolodist::data
