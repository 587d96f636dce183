// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <vector>

namespace yolodist::data {

// By extension, in any case: bmp dng jpeg jpg mpo png tif tiff webp pfm.
bool has_picture_extension(const std::filesystem::path& path);

// The pictures that `entries` name, sorted by path; one named twice is there twice. An entry is
// - a folder: every picture below it but hidden ones; links to folders are followed,
// - a picture,
// - any other file: a list, one picture a line. A line "./x" is relative to the list's folder; any other is
// taken as
//   it is, then, if that does not exist, relative to the list's folder. CRLF, CR, a byte order mark, blank
//   lines and Windows slashes are allowed. Pictures that do not exist stay in, for the scan to name them.
// Throws DataError: an entry does not exist, a folder cannot be read, no pictures at all (the entries are
// named). Source: ultralytics/yolov5 v7.0 utils/dataloaders.py, LoadImagesAndLabels.
std::vector<std::filesystem::path> list_pictures(const std::vector<std::filesystem::path>& entries);

}  // namespace yolodist::data
