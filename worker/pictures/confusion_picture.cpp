// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <opencv2/imgproc.hpp>

#include "common/base/text.h"
#include "worker/pictures/canvas.h"
#include "worker/pictures/pictures.h"

namespace yolodist::pictures {
namespace {

constexpr int kSide_px = 1120;                            // of the matrix, about
constexpr int kLargestCell_px = 150, kNamedCell_px = 11;  // names need so much
constexpr int kMostAnnotated = 29;
constexpr double kBlankBelow = 0.005;
constexpr int kMostNameRoom_px = 190, kLeastNameRoom_px = 70, kTitle_px = 60, kScaleRoom_px = 110;

// [side, side]: shares of the column's sum; 0 in a column without counts.
cv::Mat shares_of(const eval::ConfusionMatrix& matrix) {
  cv::Mat shares(matrix.side(), matrix.side(), CV_64F, cv::Scalar(0));
  for (int actual = 0; actual < matrix.side(); ++actual) {
    double sum = 0;
    for (int predicted = 0; predicted < matrix.side(); ++predicted) {
      sum += static_cast<double>(matrix.at(predicted, actual));
    }
    for (int predicted = 0; sum > 0 && predicted < matrix.side(); ++predicted) {
      const double share = static_cast<double>(matrix.at(predicted, actual)) / sum;
      shares.at<double>(predicted, actual) = share < kBlankBelow ? 0 : share;
    }
  }
  return shares;
}

// Where the cells lie: cell i of a row or column spans edge(i) … edge(i + 1).
struct Grid {
  cv::Rect area;
  int cells = 1;
  bool has_names = true;
  int name_room_px = kMostNameRoom_px;
  int edge(int cell) const { return static_cast<int>(static_cast<int64_t>(area.width) * cell / cells); }
  int centre(int cell) const { return (edge(cell) + edge(cell + 1)) / 2; }
};

TextStyle name_style(const Grid& grid) {
  return {std::clamp(grid.edge(1) / 1.55, 7.5, 12.0), ink(), false};
}

std::string cell_name(const Grid& grid, int cell, const std::vector<std::string>& names) {
  return !grid.has_names ? cat(cell) : cell == grid.cells - 1 ? "background" : class_name(names, cell);
}

Grid grid_of(int cells, const std::vector<std::string>& names) {
  Grid grid;
  grid.cells = cells;
  const int cell = std::clamp(kSide_px / cells, 1, kLargestCell_px);
  grid.has_names = cell >= kNamedCell_px;
  // With more cells than pixels several share one.
  const int side = std::min(cell * cells, kSide_px);
  grid.area.width = grid.area.height = side;
  grid.name_room_px = kLeastNameRoom_px;
  for (int i = 0; grid.has_names && i < cells; ++i) {
    grid.name_room_px =
        std::max(grid.name_room_px, text_size(cell_name(grid, i, names), name_style(grid)).width + 12);
  }
  grid.name_room_px = std::min(grid.name_room_px, kMostNameRoom_px);
  grid.area.x = grid.name_room_px + 40;
  grid.area.y = kTitle_px;
  return grid;
}

void draw_cells(cv::Mat& canvas, const Grid& grid, const cv::Mat& shares) {
  cv::Mat area = canvas(grid.area);
  if (grid.cells > grid.area.width) {
    cv::Mat reduced;
    cv::resize(shares, reduced, grid.area.size(), 0, 0, cv::INTER_AREA);
    for (int y = 0; y < area.rows; ++y) {
      for (int x = 0; x < area.cols; ++x) {
        const Colour colour = shade(reduced.at<double>(y, x));
        area.at<cv::Vec3b>(y, x) = {cv::saturate_cast<uchar>(colour[0]), cv::saturate_cast<uchar>(colour[1]),
                                    cv::saturate_cast<uchar>(colour[2])};
      }
    }
    return;
  }
  for (int row = 0; row < grid.cells; ++row) {
    for (int column = 0; column < grid.cells; ++column) {
      const double share = shares.at<double>(row, column);
      if (share > 0) {
        area(cv::Rect(cv::Point(grid.edge(column), grid.edge(row)),
                      cv::Point(grid.edge(column + 1), grid.edge(row + 1)))) = shade(share);
      }
    }
  }
}

void draw_grid(cv::Mat& canvas, const Grid& grid) {
  const cv::Rect& area = grid.area;
  if (grid.has_names) {
    for (int cell = 1; cell < grid.cells; ++cell) {
      const int at = grid.edge(cell);
      cv::line(canvas, {area.x + at, area.y}, {area.x + at, area.br().y}, grid_ink(), 1);
      cv::line(canvas, {area.x, area.y + at}, {area.br().x, area.y + at}, grid_ink(), 1);
    }
  }
  cv::rectangle(canvas, area.tl() - cv::Point(1, 1), area.br(), faint_ink(), 1);
}

void annotate(cv::Mat& canvas, const Grid& grid, const cv::Mat& shares) {
  const TextStyle base{std::clamp(grid.edge(1) / 4.2, 8.0, 16.0), ink(), false};
  for (int row = 0; row < grid.cells; ++row) {
    for (int column = 0; column < grid.cells; ++column) {
      const double share = shares.at<double>(row, column);
      if (share > 0) {
        TextStyle style = base;
        style.colour = readable_on(shade(share));
        draw_text(canvas, printf_string("%.2f", share),
                  grid.area.tl() + cv::Point(grid.centre(column), grid.centre(row)), style, Align::centre);
      }
    }
  }
}

void name_cells(cv::Mat& canvas, const Grid& grid, const std::vector<std::string>& names) {
  const cv::Rect& area = grid.area;
  const TextStyle style = name_style(grid);
  // Without room for names, some of the class numbers.
  const int step = grid.has_names ? 1 : std::max(1, grid.cells / 20 / 10 * 10 + 10);
  for (int cell = 0; cell < grid.cells; cell += step) {
    const std::string shown = shortened(cell_name(grid, cell, names), grid.name_room_px - 10, style);
    draw_text(canvas, shown, {area.x - 7, area.y + grid.centre(cell)}, style, Align::right);
    draw_text_upwards(canvas, shown, {area.x + grid.centre(cell), area.br().y + 7}, style, Align::right);
  }
}

void draw_scale(cv::Mat& canvas, const cv::Rect& area) {
  const cv::Rect bar(area.br().x + 30, area.y, 22, area.height);
  for (int row = 0; row < bar.height; ++row) {
    cv::line(canvas, {bar.x, bar.y + row}, {bar.br().x, bar.y + row},
             shade(1.0 - static_cast<double>(row) / std::max(1, bar.height - 1)), 1);
  }
  cv::rectangle(canvas, bar, faint_ink(), 1);
  for (int fifth = 0; fifth <= 5; ++fifth) {
    draw_text(canvas, printf_string("%.1f", fifth / 5.0),
              {bar.br().x + 8, bar.y + cvRound(bar.height * (1 - fifth / 5.0))}, {9.5, ink(), false});
  }
}

cv::Mat picture(const eval::ConfusionMatrix& matrix, const std::vector<std::string>& names) {
  const Grid grid = grid_of(matrix.side(), names);
  const cv::Mat shares = shares_of(matrix);
  cv::Mat canvas =
      blank(std::max(grid.area.br().x + kScaleRoom_px, 600), grid.area.br().y + grid.name_room_px + 45);
  draw_cells(canvas, grid, shares);
  draw_grid(canvas, grid);
  if (matrix.class_count <= kMostAnnotated) {
    annotate(canvas, grid, shares);
  }
  name_cells(canvas, grid, names);
  draw_scale(canvas, grid.area);
  const cv::Point centre = (grid.area.tl() + grid.area.br()) / 2;
  draw_text(canvas, "Confusion matrix", {centre.x, 20}, {13, ink(), true}, Align::centre);
  draw_text(canvas,
            printf_string("shares of each true class, confidence above %.2f, IoU above %.2f",
                          eval::kConfusionConfidence, eval::kConfusionIou),
            {canvas.cols / 2, 42}, {9, faint_ink(), false}, Align::centre);
  draw_text(canvas, "true", {centre.x, canvas.rows - 20}, {12, ink(), true}, Align::centre);
  draw_text_upwards(canvas, "predicted", {20, centre.y}, {12, ink(), true}, Align::centre);
  return canvas;
}

}  // namespace

void draw_confusion_matrix(const std::filesystem::path& file, const eval::ConfusionMatrix& matrix,
                           const std::vector<std::string>& names) {
  write_picture(file, [&] { return picture(matrix, names); });
}

}  // namespace yolodist::pictures
