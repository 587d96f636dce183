// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace yolodist::commands {

// What --source of detect names.
struct PictureSource {
  std::vector<std::filesystem::path> pictures;
  int64_t others = 0;  // files of a folder or pattern that are no pictures, videos among them
};

// `source` is
// - a picture,
// - a folder: the pictures in it, not those of folders below, sorted by name,
// - a pattern with * and ? in any part, ** for any folders below: the pictures that fit, sorted,
// - a list (.txt): one of these a line, relative to the working folder, else to the list's.
// A file that exists is taken as it is, whatever signs its name has. Hidden files count only where they are
// named. Throws DataError when something named does not exist, or there is no picture at all. Source:
// ultralytics/yolov5 v7.0 utils/dataloaders.py, LoadImages; differs: list lines may hold blanks.
PictureSource list_source(const std::string& source);

}  // namespace yolodist::commands
