// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <opencv2/core.hpp>

namespace yolodist::data {

// Multiplies hue (modulo a turn), saturation and value of a BGR picture of 8 bits in place.
// Source: ultralytics/yolov5 v7.0 utils/augmentations.py, augment_hsv.
void change_hsv(cv::Mat& picture, double hue_gain, double saturation_gain, double value_gain);

}  // namespace yolodist::data
