// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include <gtest/gtest.h>
#include <opencv2/imgcodecs.hpp>

#include "common/base/text.h"
#include "tests/support/temporary_folder.h"
#include "worker/pictures/canvas.h"
#include "worker/pictures/pictures.h"

namespace yolodist::pictures {
namespace {

// Curves that fall from 1 at 0 to 0 at 1, the later classes faster.
eval::AveragePrecision precision_of(int class_count) {
  eval::AveragePrecision precision;
  for (int c = 0; c < class_count; ++c) {
    eval::ClassPrecision quality;
    quality.class_index = c;
    quality.average_precision.fill(0.5);
    precision.classes.push_back(quality);
    std::vector<double> falling;
    for (const double x : eval::confidences()) {
      falling.push_back(1 - std::pow(x, 1.0 / (c + 1)));
    }
    precision.curves.push_back({falling, falling, falling, falling});
  }
  precision.best_confidence = 0.3;
  precision.has_true_positive = class_count > 0;
  return precision;
}

cv::Mat read(const std::filesystem::path& file) {
  return cv::imread(file.string());
}

int pixels_like(const cv::Mat& picture, const Colour& colour) {
  cv::Mat mask;
  cv::inRange(picture, colour, colour, mask);
  return cv::countNonZero(mask);
}

TEST(CurvePictures, AreFourFiles) {
  const test::TemporaryFolder folder;
  draw_curves(folder.path(), precision_of(2), {"cat", "dog"});
  for (const char* name : {"PR_curve.png", "F1_curve.png", "P_curve.png", "R_curve.png"}) {
    const cv::Mat picture = read(folder / name);
    ASSERT_FALSE(picture.empty()) << name;
    EXPECT_GT(pixels_like(picture, palette_colour(0)), 300) << name;
    EXPECT_GT(pixels_like(picture, palette_colour(1)), 300) << name;
    EXPECT_GT(pixels_like(picture, accent()), 1000) << name;
  }
}

TEST(CurvePictures, ColourTwentyClassesAndGreyMore) {
  const test::TemporaryFolder folder;
  draw_curves(folder.path(), precision_of(20), std::vector<std::string>(20, std::string(60, 'M')));
  EXPECT_GT(pixels_like(read(folder / "F1_curve.png"), palette_colour(19)), 100);
  draw_curves(folder.path(), precision_of(80), {});
  EXPECT_EQ(pixels_like(read(folder / "F1_curve.png"), palette_colour(19)), 0);
  EXPECT_GT(pixels_like(read(folder / "F1_curve.png"), accent()), 1000);
}

TEST(CurvePictures, TakeNothing) {
  const test::TemporaryFolder folder;
  draw_curves(folder.path(), {}, {});
  EXPECT_FALSE(read(folder / "PR_curve.png").empty());
  eval::AveragePrecision no_hit;
  no_hit.classes.resize(3);
  no_hit.curves.resize(3);
  draw_curves(folder.path(), no_hit, {"cat"});
  EXPECT_FALSE(read(folder / "R_curve.png").empty());
}

TEST(ConfusionPicture, ShadesTheCells) {
  const test::TemporaryFolder folder;
  eval::ConfusionMatrix matrix(9);
  matrix.counts[matrix.index(3, 5)] = 1000;
  matrix.counts[matrix.index(4, 5)] = 4;  // below half a per cent
  draw_confusion_matrix(folder / "matrix.png", matrix, std::vector<std::string>(9, std::string(60, 'W')));
  const cv::Mat picture = read(folder / "matrix.png");
  // Cells of 112 pixels; their upper left corners, where no number stands. The matrix begins at (230, 60).
  const auto cell = [&](int predicted, int actual) {
    return picture.at<cv::Vec3b>(60 + 112 * predicted + 8, 230 + 112 * actual + 8);
  };
  const Colour darkest = shade(1000.0 / 1004);
  EXPECT_EQ(cell(3, 5), cv::Vec3b(cv::saturate_cast<uchar>(darkest[0]), cv::saturate_cast<uchar>(darkest[1]),
                                  cv::saturate_cast<uchar>(darkest[2])));
  EXPECT_EQ(cell(4, 5), cv::Vec3b(255, 255, 255));
  EXPECT_EQ(cell(5, 3), cv::Vec3b(255, 255, 255));
}

TEST(ConfusionPicture, TakesAnyNumberOfClassesAndNames) {
  const test::TemporaryFolder folder;
  for (const int count : {0, 1, 29, 30, 80, 365, 1203}) {
    eval::ConfusionMatrix matrix(count);
    std::fill(matrix.counts.begin(), matrix.counts.end(), 1);
    draw_confusion_matrix(folder / "matrix.png", matrix,
                          std::vector<std::string>(static_cast<size_t>(count), std::string(60, 'W')));
    const cv::Mat picture = read(folder / "matrix.png");
    ASSERT_FALSE(picture.empty()) << count;
    EXPECT_GE(picture.cols, 600);
    EXPECT_LE(picture.cols, 1600);
  }
  draw_confusion_matrix(folder / "matrix.png", eval::ConfusionMatrix(3), {});
  EXPECT_FALSE(read(folder / "matrix.png").empty());
}

class ResultsPicture : public ::testing::Test {
 protected:
  static std::string header() {
    return "epoch, train/box_loss, train/obj_loss, train/cls_loss, metrics/precision, metrics/recall, "
           "metrics/mAP_0.5, metrics/mAP_0.5:0.95, val/box_loss, val/obj_loss, val/cls_loss, x/lr0, x/lr1, "
           "x/lr2\n";
  }
  static std::string row(int epoch, const std::string& value) {
    std::string line = cat(epoch);
    for (int column = 1; column < 14; ++column) {
      line += ",   " + value;
    }
    return line + "\n";
  }
  cv::Mat drawn(const std::string& content) const {
    const auto csv = folder_.write("results.csv", content);
    std::filesystem::remove(folder_ / "results.png");
    draw_results(folder_ / "results.png", csv);
    return read(folder_ / "results.png");
  }
  test::TemporaryFolder folder_;
};

TEST_F(ResultsPicture, HasTenPanels) {
  const cv::Mat picture = drawn(header() + row(0, "0.1") + row(1, "0.5") + row(2, "0.2"));
  ASSERT_EQ(picture.size(), cv::Size(2000, 760));
  for (int panel = 0; panel < 10; ++panel) {
    const cv::Mat part = picture(cv::Rect(400 * (panel % 5), 360 * (panel / 5), 400, 360));
    EXPECT_GT(pixels_like(part, palette_colour(1)), 200) << panel;
  }
}

TEST_F(ResultsPicture, SmoothsLongRuns) {
  std::string content = header();
  for (int epoch = 0; epoch < 100; ++epoch) {
    content += row(epoch, epoch % 2 ? "0.1" : "0.3");
  }
  const cv::Mat picture = drawn(content);
  EXPECT_GT(pixels_like(picture, palette_colour(3)), 1000);
  // The smoothed line lies in the middle: row 40 + 265 / 2 of the panel.
  EXPECT_EQ(picture.at<cv::Vec3b>(172, 220)[2], palette_colour(3)[2]);
}

TEST_F(ResultsPicture, LeavesOutWhatIsNotWhole) {
  const cv::Mat whole = drawn(header() + row(0, "0.1") + row(1, "0.5"));
  const cv::Mat torn = drawn(header() + row(0, "0.1") + row(1, "0.5") + "2, 0.7, 0.");
  EXPECT_EQ(cv::norm(whole, torn, cv::NORM_INF), 0);
  const cv::Mat short_row = drawn(header() + row(0, "0.1") + "7, 0.7\n" + row(1, "0.5"));
  EXPECT_EQ(cv::norm(whole, short_row, cv::NORM_INF), 0);
}

TEST_F(ResultsPicture, TakesOddContent) {
  EXPECT_FALSE(drawn(header()).empty());
  EXPECT_FALSE(drawn(header() + row(0, "nan")).empty());
  EXPECT_FALSE(drawn(header() + row(0, "0") + row(1, "inf") + row(2, "x")).empty());
  EXPECT_TRUE(drawn("").empty());
  EXPECT_TRUE(drawn("epoch, loss\n").empty());
  EXPECT_NO_THROW(draw_results(folder_ / "r.png", folder_ / "nothing.csv"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "r.png"));
}

}  // namespace
}  // namespace yolodist::pictures
