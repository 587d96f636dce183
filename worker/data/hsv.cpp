// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/data/hsv.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include <opencv2/imgproc.hpp>

namespace yolodist::data {
namespace {

constexpr double half_turn = 180;  // OpenCV keeps hue in units of two degrees, 0 to 179, in 8 bits

uint8_t scaled_hue(int value, double gain) {
  const double rest = std::fmod(value * gain, half_turn);
  return static_cast<uint8_t>(rest < 0 ? rest + half_turn : rest);
}

uint8_t scaled_level(int value, double gain) {
  return static_cast<uint8_t>(std::clamp(value * gain, 0.0, 255.0));
}

}  // namespace

void change_hsv(cv::Mat& picture, double hue_gain, double saturation_gain, double value_gain) {
  cv::Mat table(1, 256, CV_8UC3);
  for (int i = 0; i < 256; ++i) {
    table.at<cv::Vec3b>(0, i) = {scaled_hue(i, hue_gain), scaled_level(i, saturation_gain),
                                 scaled_level(i, value_gain)};
  }
  cv::Mat hsv;
  cv::cvtColor(picture, hsv, cv::COLOR_BGR2HSV);
  cv::LUT(hsv, table, hsv);
  cv::cvtColor(hsv, picture, cv::COLOR_HSV2BGR);
}

}  // namespace yolodist::data
