// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string_view>

namespace yolodist::config {

// The folder with the shipped models/, hyps/ and sample/. Tried in this order: $YOLODIST_SHARE;
// ../share/yolodist beside the program's folder (installed); share/yolodist in each folder above the program
// (build tree inside the source tree). Throws DataError naming the places tried.
std::filesystem::path share_folder();

// A model or hyp by shipped name ("yolov5n", "yolov5n.yaml", "hyp.scratch-low") or by path. `kind` is
// "models" or "hyps". Throws DataError with the nearest shipped name when there is neither.
std::filesystem::path find_shipped(std::string_view name_or_path, std::string_view kind);

}  // namespace yolodist::config
