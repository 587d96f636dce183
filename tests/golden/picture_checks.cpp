// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "tests/golden/picture_checks.h"

#include <cmath>
#include <cstdio>

#include <gtest/gtest.h>

#include "tests/golden/golden.h"

namespace yolodist::golden {

const data::Index& pictures(const std::string& split) {
  static const auto build = [](const std::string& name) {
    data::ScanOptions options;
    options.labels.class_count = 1;
    return data::build_index({sample_folder() / "images" / name}, options);
  };
  static const data::Index train = build("train"), val = build("val");
  return split == "train" ? train : val;
}

data::PerspectiveDraws warp_from(const nlohmann::json& document) {
  return {document.at("perspective_x"), document.at("perspective_y"),   document.at("angle_degrees"),
          document.at("scale"),         document.at("shear_x_degrees"), document.at("shear_y_degrees"),
          document.at("translate_x"),   document.at("translate_y")};
}

data::MosaicDraws mosaic_from(const nlohmann::json& document) {
  data::MosaicDraws draws;
  draws.warp = warp_from(document.at("warp"));
  if (document.contains("order")) {
    draws.centre_y_px = document.at("centre_y_px");
    draws.centre_x_px = document.at("centre_x_px");
    draws.partners = document.at("partners").get<std::array<int, 3>>();
    draws.order = document.at("order").get<std::array<int, 4>>();
  }
  return draws;
}

void expect_pixels(const std::string& file, const nlohmann::json& expected, const cv::Mat& image) {
  const auto what = expected.at("grid").get<std::string>();
  const auto shape = expected.at("shape").get<std::vector<int>>();
  ASSERT_EQ(image.rows, shape[0]) << what;
  ASSERT_EQ(image.cols, shape[1]) << what;
  ASSERT_TRUE(image.isContinuous());
  ASSERT_EQ(image.type(), CV_8UC3);
  const std::string hash = sha256(image.data, image.total() * image.elemSize());
  if (hash == expected.at("sha256").get<std::string>()) {
    return;
  }
  const Array grid = load_array(file, what);
  const int step = pixel_grid_step;
  double difference = 0;
  size_t at = 0, far = 0;
  for (int y = 0; y < image.rows; y += step) {
    for (int x = 0; x < image.cols; x += step) {
      for (int c = 0; c < 3; ++c, ++at) {
        const double d = std::abs(image.at<cv::Vec3b>(y, x)[c] - grid.values.at(at));
        difference += d;
        far += d > 3 ? 1 : 0;
      }
    }
  }
  ASSERT_EQ(at, grid.values.size()) << what;
  EXPECT_LT(difference / static_cast<double>(at), 0.5) << what;
  EXPECT_LE(far, at / 200) << what;
  std::printf(
      "[   NOTE   ] %s: not the same bytes, mean difference %.4f, %zu of %zu values off by more than 3\n",
      what.c_str(), difference / static_cast<double>(at), far, at);
}

void expect_boxes(const nlohmann::json& expected, const std::vector<data::PixelBox>& boxes) {
  ASSERT_EQ(boxes.size(), expected.size());
  for (size_t i = 0; i < boxes.size(); ++i) {
    const auto row = expected.at(i).get<std::vector<double>>();
    EXPECT_EQ(boxes[i].class_index, row[0]);
    EXPECT_NEAR(boxes[i].x1, row[1], 1e-4) << i;
    EXPECT_NEAR(boxes[i].y1, row[2], 1e-4) << i;
    EXPECT_NEAR(boxes[i].x2, row[3], 1e-4) << i;
    EXPECT_NEAR(boxes[i].y2, row[4], 1e-4) << i;
  }
}

}  // namespace yolodist::golden
