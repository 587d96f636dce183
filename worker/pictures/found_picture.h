// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "worker/eval/detection.h"

// What detection leaves: whole pictures in their own pixels. Files and failures as in pictures.h.
namespace yolodist::pictures {

struct BoxStyle {
  int line_px = 3;
  bool shows_names = true;
  bool shows_scores = true;
};

// The picture `from` with boxes in native pixels, best first; the best lie on top.
void draw_found(const std::filesystem::path& file, const std::filesystem::path& from,
                std::span<const eval::Detection> detections, const std::vector<std::string>& names,
                const BoxStyle& style);

// Each box with a margin, as `folder`/CLASS/`stem`.jpg, `stem`2.jpg, …: numbers go up within a class, the
// least confident first. Source: ultralytics/yolov5 v7.0 utils/plots.py, save_one_box (2 % and 10 pixels
// more).
void cut_out(const std::filesystem::path& folder, const std::string& stem, const std::filesystem::path& from,
             std::span<const eval::Detection> detections, const std::vector<std::string>& names);

// The name of a file that pictures can be written as: `name`, or with .jpg where OpenCV cannot write its
// kind.
std::string writable_name(const std::filesystem::path& name);

}  // namespace yolodist::pictures
