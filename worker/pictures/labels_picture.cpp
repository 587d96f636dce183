// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include <opencv2/imgproc.hpp>

#include "common/base/text.h"
#include "worker/pictures/chart.h"
#include "worker/pictures/pictures.h"

namespace yolodist::pictures {
namespace {

constexpr int kPanel_px = 900;
constexpr int kPlot_px = 740;                             // of the three square plots
constexpr int kMostNamedClasses = 80;                     // bars with names
constexpr int kLeastHeatCells = 20, kMostHeatCells = 74;  // a side
constexpr double kCapital_px = 11;

// Calls `use` with every box of the data set.
template <typename Use>
void for_each_box(const data::Index& index, const Use& use) {
  for (const data::Picture& picture : index.pictures) {
    for (const data::Target& target : picture.targets) {
      if (std::isfinite(target.x + target.y + target.w + target.h)) {
        use(target);
      }
    }
  }
}

Chart square_chart(cv::Point panel, const std::string& title) {
  Chart chart;
  chart.plot = {panel.x + 100, panel.y + 70, kPlot_px, kPlot_px};
  chart.title = title;
  chart.capital_px = kCapital_px;
  return chart;
}

// Counts (CV_32S, one a cell or pixel) as shades, by the logarithm: one box is visible beside thousands.
void paint_counts(cv::Mat& canvas, const cv::Rect& plot, const cv::Mat& counts) {
  double most = 0;
  cv::minMaxLoc(counts, nullptr, &most);
  for (int y = 0; y < plot.height; ++y) {
    auto* row = canvas.ptr<cv::Vec3b>(plot.y + y);
    const int* count = counts.ptr<int>(y * counts.rows / plot.height);
    for (int x = 0; x < plot.width; ++x) {
      const int value = count[x * counts.cols / plot.width];
      if (value > 0) {
        const Colour colour = shade(most > 1 ? 0.25 + 0.75 * std::log(value) / std::log(most) : 0.7);
        row[plot.x + x] = {cv::saturate_cast<uchar>(colour[0]), cv::saturate_cast<uchar>(colour[1]),
                           cv::saturate_cast<uchar>(colour[2])};
      }
    }
  }
}

int most_of(const cv::Mat& counts) {
  double most = 0;
  cv::minMaxLoc(counts, nullptr, &most);
  return static_cast<int>(most);
}

void draw_remark(cv::Mat& canvas, const Chart& chart, const std::string& text) {
  draw_text(canvas, text, {chart.plot.br().x, chart.plot.br().y + 68}, {9, faint_ink(), false}, Align::right);
}

// Boxes of each class.
void draw_classes(cv::Mat& canvas, cv::Point panel, const std::vector<int64_t>& counts,
                  const std::vector<std::string>& names, int64_t picture_count) {
  int64_t sum = 0, most = 1;
  for (const int64_t count : counts) {
    sum += count;
    most = std::max(most, count);
  }
  draw_text(
      canvas,
      cat("Boxes per class: ", sum, " in ", picture_count, picture_count == 1 ? " picture" : " pictures"),
      {panel.x + kPanel_px / 2, panel.y + 51}, {kCapital_px + 2, ink(), true}, Align::centre);
  const bool has_names = counts.size() <= kMostNamedClasses;
  const int classes = std::max(1, static_cast<int>(counts.size()));
  const int top = panel.y + 70, height = kPlot_px + 60;
  const double pitch = std::min(height / static_cast<double>(classes), 90.0);
  const TextStyle style{std::clamp(pitch * 0.62, 7.0, kCapital_px), ink(), false};
  int name_width = 60;
  for (size_t c = 0; has_names && c < counts.size(); ++c) {
    name_width = std::max(name_width, text_size(class_name(names, static_cast<int>(c)), style).width);
  }
  name_width = std::min(name_width, 230);
  const int left = panel.x + 40 + name_width;
  const int longest = kPanel_px - 40 - name_width - 120;
  // Without room for names: some of the class numbers.
  const int step = has_names ? 1 : std::max(10, (classes / 30 + 9) / 10 * 10);
  for (int c = 0; c < static_cast<int>(counts.size()); ++c) {
    const int64_t count = counts[static_cast<size_t>(c)];
    const int from = top + static_cast<int>(c * pitch);
    const int gap = pitch >= 20 ? static_cast<int>(0.3 * pitch) : pitch >= 8 ? 2 : 0;
    const int to = std::max(from + 1, top + static_cast<int>((c + 1) * pitch) - gap);
    const int centre = (from + to) / 2;
    const int length =
        static_cast<int>(std::lround(longest * static_cast<double>(count) / static_cast<double>(most)));
    if (count > 0) {
      cv::rectangle(canvas, cv::Rect(left, from, std::max(1, length), to - from), palette_colour(c),
                    cv::FILLED);
    }
    if (has_names) {
      draw_text(canvas, cat(count), {left + length + 6, centre}, style);
    }
    if (c % step == 0) {
      const std::string name = has_names ? class_name(names, c) : cat(c);
      draw_text(canvas, shortened(name, name_width, style), {left - 7, centre}, style, Align::right);
    }
  }
  cv::line(canvas, {left, top}, {left, top + static_cast<int>(pitch * classes)}, faint_ink(), 1);
  if (!has_names) {
    draw_text(canvas, cat("longest bar: ", most, " boxes; numbers are classes"),
              {panel.x + kPanel_px - 40, top + height + 14}, {9, faint_ink(), false}, Align::right);
  }
}

// All boxes around one centre. Each box adds 1 to the pixels of its outline; the four sides are entered by
// their ends and summed up afterwards, so the cost does not depend on the boxes' sizes.
void draw_overlay(cv::Mat& canvas, cv::Point panel, const data::Index& index, double largest) {
  Chart chart = square_chart(panel, "Boxes laid over each other");
  chart.x.range = chart.y.range = {-largest / 2, largest / 2};
  chart.x.title = "fraction of the picture's width";
  chart.y.title = "fraction of the picture's height";
  cv::Mat across(kPlot_px + 1, kPlot_px + 1, CV_32S, cv::Scalar(0));
  cv::Mat down(kPlot_px + 1, kPlot_px + 1, CV_32S, cv::Scalar(0));
  for_each_box(index, [&](const data::Target& box) {
    const auto half = [&](float side) {
      return std::clamp(static_cast<int>(std::lround(side / largest * kPlot_px / 2)), 0, kPlot_px / 2 - 1);
    };
    const int centre = kPlot_px / 2;
    const int left = centre - half(box.w), right = centre + half(box.w);
    const int top = centre - half(box.h), bottom = centre + half(box.h);
    for (const int row : {top, bottom}) {
      ++across.at<int>(row, left);
      --across.at<int>(row, right + 1);
    }
    for (const int column : {left, right}) {
      ++down.at<int>(top, column);
      --down.at<int>(bottom + 1, column);
    }
  });
  for (int y = 0; y < kPlot_px; ++y) {
    for (int x = 0; x < kPlot_px; ++x) {
      across.at<int>(y, x) += x > 0 ? across.at<int>(y, x - 1) : 0;
      down.at<int>(y, x) += y > 0 ? down.at<int>(y - 1, x) : 0;
    }
  }
  const cv::Mat counts = (across + down)(cv::Rect(0, 0, kPlot_px, kPlot_px));
  paint_counts(canvas, chart.plot, counts);
  draw_axes(canvas, chart);
  if (most_of(counts) > 0) {
    draw_remark(canvas, chart, "the darker, the more outlines (logarithmic)");
  } else {
    draw_note(canvas, chart.plot, "no boxes");
  }
}

// How often a pair of fractions occurs, in cells of the chart's ranges.
template <typename PairOf>
void draw_heat(cv::Mat& canvas, const Chart& chart, const data::Index& index, double fineness,
               const PairOf& pair_of) {
  // The more boxes, the finer.
  int64_t box_count = 0;
  for_each_box(index, [&](const data::Target&) { ++box_count; });
  const double wanted = fineness * std::sqrt(static_cast<double>(box_count));
  const int cells = std::clamp(static_cast<int>(wanted), kLeastHeatCells, kMostHeatCells);
  cv::Mat counts(cells, cells, CV_32S, cv::Scalar(0));
  for_each_box(index, [&](const data::Target& box) {
    const auto [x, y] = pair_of(box);
    const auto cell = [cells](double value, const Range& range) {
      const double share = (value - range.low) / (range.high - range.low);
      return std::clamp(static_cast<int>(share * cells), 0, cells - 1);
    };
    ++counts.at<int>(cells - 1 - cell(y, chart.y.range), cell(x, chart.x.range));
  });
  paint_counts(canvas, chart.plot, counts);
  draw_axes(canvas, chart);
  const int most = most_of(counts);
  if (most > 0) {
    draw_remark(canvas, chart,
                cat("darkest: ", most, most == 1 ? " box" : " boxes", " a cell (logarithmic)"));
  } else {
    draw_note(canvas, chart.plot, "no boxes");
  }
}

cv::Mat picture(const data::Index& index, const std::vector<std::string>& names) {
  std::vector<int64_t> counts(names.size(), 0);
  float widest = 0, highest = 0;
  for_each_box(index, [&](const data::Target& box) {
    if (box.class_index >= 0) {
      const auto c = static_cast<size_t>(box.class_index);
      counts.resize(std::max(counts.size(), c + 1), 0);
      ++counts[c];
    }
    widest = std::max(widest, box.w);
    highest = std::max(highest, box.h);
  });
  const auto limit = [](float largest) { return largest > 0 ? std::min(1.0, 1.05 * largest) : 1.0; };
  cv::Mat canvas = blank(2 * kPanel_px, 2 * kPanel_px);
  draw_classes(canvas, {0, 0}, counts, names, static_cast<int64_t>(index.pictures.size()));
  draw_overlay(canvas, {kPanel_px, 0}, index, limit(std::max(widest, highest)));
  Chart centres = square_chart({0, kPanel_px}, "Centres of the boxes");
  centres.x.title = "x, fraction of the picture's width";
  centres.y.title = "y from the top, fraction of the height";
  centres.y.range = {1, 0};
  draw_heat(canvas, centres, index, 0.7,
            [](const data::Target& box) { return std::pair<double, double>(box.x, box.y); });
  Chart sizes = square_chart({kPanel_px, kPanel_px}, "Sizes of the boxes");
  sizes.x.title = "width, fraction of the picture's width";
  sizes.y.title = "height, fraction of the picture's height";
  sizes.x.range = {0, limit(widest)};
  sizes.y.range = {0, limit(highest)};
  draw_heat(canvas, sizes, index, 1.4,
            [](const data::Target& box) { return std::pair<double, double>(box.w, box.h); });
  return canvas;
}

}  // namespace

void draw_labels(const std::filesystem::path& file, const data::Index& index,
                 const std::vector<std::string>& names) {
  write_picture(file, [&] { return picture(index, names); });
}

}  // namespace yolodist::pictures
