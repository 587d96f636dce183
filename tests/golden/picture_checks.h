// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>
#include <opencv2/core.hpp>

#include "worker/data/boxes.h"
#include "worker/data/draws.h"
#include "worker/data/index.h"

// What the golden tests of pictures share.
namespace yolodist::golden {

// Every so many pixels in both directions one is in the golden file (GRID of tools/golden/pictures.py).
constexpr int pixel_grid_step = 8;

// The shipped sample's "train" or "val".
const data::Index& pictures(const std::string& split);

data::PerspectiveDraws warp_from(const nlohmann::json& document);
data::MosaicDraws mosaic_from(const nlohmann::json& document);

// Fails the running test unless the image has the same bytes as that of golden file `file`, or, where another
// OpenCV rounds otherwise, nearly: seen on a grid of pixels.
void expect_pixels(const std::string& file, const nlohmann::json& expected, const cv::Mat& image);
// Rows of class, x1, y1, x2, y2 in pixels.
void expect_boxes(const nlohmann::json& expected, const std::vector<data::PixelBox>& boxes);

}  // namespace yolodist::golden
