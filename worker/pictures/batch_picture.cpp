// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cmath>

#include <opencv2/imgproc.hpp>

#include "common/base/text.h"
#include "worker/pictures/chart.h"
#include "worker/pictures/pictures.h"

namespace yolodist::pictures {
namespace {

constexpr int kGap_px = 4;             // between the tiles
constexpr int kReadableTile_px = 320;  // smaller pictures are enlarged to this side
constexpr int kThinBelow_px = 24;      // boxes with a side below are drawn with thin lines
const TextStyle kNameStyle{10, {255, 255, 255}, false};

// A box to draw, in pixels of the sample.
struct Drawn {
  eval::Box box;
  int class_index = 0;
  std::string label;
};

// One picture of the grid.
struct Tile {
  const data::Sample* sample = nullptr;
  std::string name;
  std::vector<Drawn> boxes;  // the most important first
};

struct Layout {
  int columns = 1, rows = 1;
  double scale = 1;  // tile pixels per sample pixel
  int tile_width_px = 0, tile_height_px = 0;
  cv::Point corner(int tile) const {
    return {(tile % columns) * (tile_width_px + kGap_px), (tile / columns) * (tile_height_px + kGap_px)};
  }
  int width_px() const { return columns * (tile_width_px + kGap_px) - kGap_px; }
  int height_px() const { return rows * (tile_height_px + kGap_px) - kGap_px; }
};

Layout layout_of(std::span<const Tile> tiles) {
  int width = 1, height = 1;
  for (const Tile& tile : tiles) {
    width = std::max(width, tile.sample->width_px);
    height = std::max(height, tile.sample->height_px);
  }
  Layout layout;
  const int count = std::max(1, static_cast<int>(tiles.size()));
  layout.columns = static_cast<int>(std::ceil(std::sqrt(count)));
  layout.rows = (count + layout.columns - 1) / layout.columns;
  const double room_x = (kBatchSide_px + kGap_px) / static_cast<double>(layout.columns) - kGap_px;
  const double room_y = (kBatchSide_px + kGap_px) / static_cast<double>(layout.rows) - kGap_px;
  const double wanted = std::max(1.0, kReadableTile_px / static_cast<double>(std::max(width, height)));
  layout.scale = std::min({wanted, room_x / width, room_y / height});
  layout.tile_width_px = std::max(1, static_cast<int>(width * layout.scale));
  layout.tile_height_px = std::max(1, static_cast<int>(height * layout.scale));
  return layout;
}

// The sample as BGR, scaled; grey if it has no pixels.
cv::Mat scaled_picture(const data::Sample& sample, double scale) {
  const size_t plane = static_cast<size_t>(sample.height_px) * static_cast<size_t>(sample.width_px);
  const cv::Size size(std::max(1, static_cast<int>(sample.width_px * scale)),
                      std::max(1, static_cast<int>(sample.height_px * scale)));
  if (plane == 0 || sample.pixels.size() != 3 * plane) {
    return {size, CV_8UC3, cv::Scalar(114, 114, 114)};
  }
  // cv::Mat has no view of constant bytes; these are only read.
  auto* pixels = const_cast<uint8_t*>(sample.pixels.data());
  const cv::Mat red(sample.height_px, sample.width_px, CV_8U, pixels);
  const cv::Mat green(sample.height_px, sample.width_px, CV_8U, pixels + plane);
  const cv::Mat blue(sample.height_px, sample.width_px, CV_8U, pixels + 2 * plane);
  cv::Mat picture, scaled;
  cv::merge(std::array<cv::Mat, 3>{blue, green, red}, picture);
  cv::resize(picture, scaled, size, 0, 0, scale < 1 ? cv::INTER_AREA : cv::INTER_LINEAR);
  return scaled;
}

bool is_finite(const eval::Box& box) {
  return std::isfinite(box.x1 + box.y1 + box.x2 + box.y2);
}

cv::Rect scaled_box(const eval::Box& box, double scale, const cv::Size& tile) {
  const auto px = [scale](float value, int limit) {
    return static_cast<int>(std::lround(std::clamp(value * scale, 0.0, static_cast<double>(limit - 1))));
  };
  const int left = px(box.x1, tile.width), top = px(box.y1, tile.height);
  // Both corners belong to the rectangle.
  return {left, top, px(box.x2, tile.width) - left + 1, px(box.y2, tile.height) - top + 1};
}

// Where a label goes: near its box, inside the tile, on no other label and hiding no other box by half; an
// empty rectangle if there is no such place.
cv::Rect label_place(const cv::Rect& box, const cv::Size& label, const cv::Size& tile,
                     const std::vector<cv::Rect>& labels, const std::vector<cv::Rect>& boxes) {
  const int left = std::clamp(box.x, 0, std::max(0, tile.width - label.width));
  const int right = std::clamp(box.br().x - label.width, 0, std::max(0, tile.width - label.width));
  const std::array<cv::Point, 6> corners = {cv::Point{left, box.y - label.height},
                                            {right, box.y - label.height},
                                            {left, box.y},
                                            {left, box.br().y},
                                            {right, box.br().y},
                                            {left, box.br().y - label.height}};
  for (const cv::Point& corner : corners) {
    const cv::Rect place(corner, label);
    const auto is_hidden = [&](const cv::Rect& other) { return 2 * (place & other).area() > other.area(); };
    if ((place & cv::Rect({0, 0}, tile)) == place &&
        std::none_of(labels.begin(), labels.end(),
                     [&](const cv::Rect& other) { return (place & other).area() > 0; }) &&
        std::none_of(boxes.begin(), boxes.end(), is_hidden)) {
      return place;
    }
  }
  return {};
}

void draw_tile(cv::Mat& tile, const Tile& content, double scale) {
  const double capital = std::clamp(tile.cols / 55.0, 7.5, 10.0);
  std::vector<cv::Rect> boxes, labels;
  for (const Drawn& drawn : content.boxes) {
    boxes.push_back(scaled_box(drawn.box, scale, tile.size()));
  }
  // The best last, so that they lie on top.
  for (size_t i = boxes.size(); i-- > 0;) {
    const int thickness = std::min(boxes[i].width, boxes[i].height) < kThinBelow_px ? 1 : 2;
    cv::rectangle(tile, boxes[i], palette_colour(content.boxes[i].class_index), thickness);
  }
  if (!content.name.empty()) {
    const std::string name = shortened(content.name, tile.cols - 12, kNameStyle);
    const cv::Rect strip(0, 0, std::min(tile.cols, text_size(name, kNameStyle).width + 12), 18);
    cv::Mat background = tile(strip & cv::Rect({0, 0}, tile.size()));
    background *= 0.3;
    draw_text(tile, name, {6, strip.height / 2}, kNameStyle);
    labels.push_back(strip);
  }
  for (size_t i = 0; i < boxes.size(); ++i) {
    const Colour colour = palette_colour(content.boxes[i].class_index);
    const TextStyle style{capital, readable_on(colour), false};
    const std::string text = shortened(content.boxes[i].label, tile.cols / 2, style);
    const cv::Size size(text_size(text, style).width + 6, static_cast<int>(capital) + 7);
    const cv::Rect place = label_place(boxes[i], size, tile.size(), labels, boxes);
    if (!text.empty() && place.area() > 0) {
      cv::rectangle(tile, place, colour, cv::FILLED);
      draw_text(tile, text, {place.x + 3, place.y + place.height / 2}, style);
      labels.push_back(place);
    }
  }
}

cv::Mat picture(std::span<const Tile> tiles) {
  const Layout layout = layout_of(tiles);
  if (tiles.empty()) {
    cv::Mat canvas = blank(640, 480);
    draw_note(canvas, {0, 0, 640, 480}, "no pictures");
    return canvas;
  }
  cv::Mat canvas = blank(layout.width_px(), layout.height_px());
  for (size_t i = 0; i < tiles.size(); ++i) {
    const cv::Mat scaled = scaled_picture(*tiles[i].sample, layout.scale);
    cv::Mat place = canvas(cv::Rect(layout.corner(static_cast<int>(i)), scaled.size()));
    scaled.copyTo(place);
    draw_tile(place, tiles[i], layout.scale);
  }
  return canvas;
}

// With one class its name stands once, beside the file's: boxes can then be smaller than their labels.
bool is_named_once(const std::vector<std::string>& names) {
  return names.size() == 1;
}

std::vector<Tile> tiles_of(std::span<const data::Sample> samples, const data::Index& index,
                           const std::vector<std::string>& names) {
  std::vector<Tile> tiles;
  for (const data::Sample& sample : samples.first(std::min<size_t>(samples.size(), kBatchPictures))) {
    Tile tile{&sample, "", {}};
    if (sample.picture_index >= 0 && static_cast<size_t>(sample.picture_index) < index.pictures.size()) {
      tile.name =
          ascii_text(index.pictures[static_cast<size_t>(sample.picture_index)].path.filename().string());
    }
    if (is_named_once(names)) {
      tile.name += cat(tile.name.empty() ? "" : ": ", class_name(names, 0));
    }
    tiles.push_back(std::move(tile));
  }
  return tiles;
}

}  // namespace

void draw_targets(const std::filesystem::path& file, std::span<const data::Sample> samples,
                  const data::Index& index, const std::vector<std::string>& names) {
  write_picture(file, [&] {
    std::vector<Tile> tiles = tiles_of(samples, index, names);
    for (Tile& tile : tiles) {
      const auto width = static_cast<float>(tile.sample->width_px);
      const auto height = static_cast<float>(tile.sample->height_px);
      for (const data::Target& target : tile.sample->targets) {
        const eval::Box box{(target.x - target.w / 2) * width, (target.y - target.h / 2) * height,
                            (target.x + target.w / 2) * width, (target.y + target.h / 2) * height};
        if (is_finite(box)) {
          tile.boxes.push_back(
              {box, target.class_index, is_named_once(names) ? "" : class_name(names, target.class_index)});
        }
      }
    }
    return picture(tiles);
  });
}

void draw_detections(const std::filesystem::path& file, std::span<const data::Sample> samples,
                     std::span<const std::vector<eval::Detection>> detections, const data::Index& index,
                     const std::vector<std::string>& names) {
  write_picture(file, [&] {
    std::vector<Tile> tiles = tiles_of(samples, index, names);
    for (size_t i = 0; i < std::min(tiles.size(), detections.size()); ++i) {
      for (const eval::Detection& detection : detections[i]) {
        if (detection.score > kDrawnConfidence && is_finite(detection.box)) {
          const std::string name = is_named_once(names) ? "" : class_name(names, detection.class_index) + " ";
          tiles[i].boxes.push_back(
              {detection.box, detection.class_index, name + printf_string("%.2f", detection.score)});
        }
      }
    }
    return picture(tiles);
  });
}

}  // namespace yolodist::pictures
