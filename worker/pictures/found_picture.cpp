// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/pictures/found_picture.h"

#include <algorithm>
#include <cmath>
#include <map>

#include <opencv2/imgproc.hpp>

#include "common/base/error.h"
#include "common/base/text.h"
#include "worker/data/decode.h"
#include "worker/pictures/canvas.h"

namespace yolodist::pictures {
namespace {

constexpr double kCropGain = 1.02;
constexpr double kCropMargin_px = 10;

cv::Mat decoded(const std::filesystem::path& from) {
  data::DecodeResult result = data::decode_picture(from);
  if (!result.picture) {
    throw DataError(cat(from.string(), ": ", result.reason));
  }
  return std::move(*result.picture);
}

std::string label_of(const eval::Detection& detection, const std::vector<std::string>& names,
                     const BoxStyle& style) {
  if (!style.shows_names) {
    return "";
  }
  const std::string name = class_name(names, detection.class_index);
  return style.shows_scores ? cat(name, printf_string(" %.2f", detection.score)) : name;
}

void draw_label(cv::Mat& picture, const std::string& text, const cv::Rect& box, const Colour& colour,
                int line_px) {
  const double capital = std::clamp(line_px * 4.0, 8.0, 24.0);
  const TextStyle style{capital, readable_on(colour), false};
  const cv::Size size(text_size(text, style).width + 6, static_cast<int>(capital) + 8);
  const int left = std::clamp(box.x, 0, std::max(0, picture.cols - size.width));
  // Above the box, or inside it where there is no room.
  const int top = box.y >= size.height ? box.y - size.height : std::max(0, box.y);
  const cv::Rect place(left, top, size.width, size.height);
  cv::rectangle(picture, place, colour, cv::FILLED);
  draw_text(picture, text, {place.x + 3, place.y + place.height / 2}, style);
}

cv::Rect pixels_of(const eval::Box& box) {
  const auto px = [](float value) { return static_cast<int>(std::lround(value)); };
  return {cv::Point(px(box.x1), px(box.y1)), cv::Point(px(box.x2), px(box.y2))};
}

// Source: ultralytics/yolov5 v7.0 utils/plots.py, save_one_box: sides are cut to whole pixels.
cv::Rect crop_of(const eval::Box& box, const cv::Size& picture) {
  const double x = (box.x1 + box.x2) / 2.0, y = (box.y1 + box.y2) / 2.0;
  const double half_w = ((box.x2 - box.x1) * kCropGain + kCropMargin_px) / 2;
  const double half_h = ((box.y2 - box.y1) * kCropGain + kCropMargin_px) / 2;
  const auto px = [](double value, int limit) { return std::clamp(static_cast<int>(value), 0, limit); };
  return {cv::Point(px(x - half_w, picture.width), px(y - half_h, picture.height)),
          cv::Point(px(x + half_w, picture.width), px(y + half_h, picture.height))};
}

// A class name as a folder.
std::string folder_name(const std::vector<std::string>& names, int class_index) {
  const auto c = static_cast<size_t>(class_index);
  std::string name = c < names.size() ? names[c] : cat("class", class_index);
  std::replace(name.begin(), name.end(), '/', '_');
  return name.empty() || name == "." || name == ".." ? cat("class", class_index) : name;
}

}  // namespace

void draw_found(const std::filesystem::path& file, const std::filesystem::path& from,
                std::span<const eval::Detection> detections, const std::vector<std::string>& names,
                const BoxStyle& style) {
  write_picture(file, [&] {
    cv::Mat picture = decoded(from);
    for (size_t i = detections.size(); i-- > 0;) {
      const Colour colour = palette_colour(detections[i].class_index);
      const cv::Rect box = pixels_of(detections[i].box);
      cv::rectangle(picture, box.tl(), box.br(), colour, style.line_px, cv::LINE_AA);
      if (const std::string label = label_of(detections[i], names, style); !label.empty()) {
        draw_label(picture, label, box, colour, style.line_px);
      }
    }
    return picture;
  });
}

void cut_out(const std::filesystem::path& folder, const std::string& stem, const std::filesystem::path& from,
             std::span<const eval::Detection> detections, const std::vector<std::string>& names) {
  if (detections.empty()) {
    return;
  }
  cv::Mat picture;
  std::map<int, int> of_class;
  for (size_t i = detections.size(); i-- > 0;) {
    const eval::Detection& detection = detections[i];
    const int number = ++of_class[detection.class_index];
    const std::filesystem::path place = folder / folder_name(names, detection.class_index);
    std::error_code failure;
    std::filesystem::create_directories(place, failure);
    if (failure) {
      throw StorageError(cat("cannot make the folder ", place.string(), ": ", failure.message()));
    }
    write_picture(place / cat(stem, number == 1 ? "" : std::to_string(number), ".jpg"), [&] {
      if (picture.empty()) {
        picture = decoded(from);
      }
      const cv::Rect crop = crop_of(detection.box, picture.size());
      if (crop.area() == 0) {
        throw DataError("the box has no pixels");
      }
      return picture(crop).clone();
    });
  }
}

std::string writable_name(const std::filesystem::path& name) {
  const std::string ending = lower(name.extension().string());
  for (const char* known : {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"}) {
    if (ending == known) {
      return name.string();
    }
  }
  return name.stem().string() + ".jpg";
}

}  // namespace yolodist::pictures
