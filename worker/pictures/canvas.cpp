// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/pictures/canvas.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <new>

#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include "common/base/atomic_file.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/text.h"

namespace yolodist::pictures {
namespace {

constexpr int kFont = cv::FONT_HERSHEY_SIMPLEX;
constexpr double kFontCapital_px = 21;  // of this font at scale 1
// Text is drawn so many times larger and reduced: strokes between 1 and 2 pixels, even edges.
constexpr int kOversampling = 4;
constexpr int kJpegQuality = 92;

Colour rgb(uint32_t value) {
  return {static_cast<double>(value & 255), static_cast<double>(value >> 8 & 255),
          static_cast<double>(value >> 16 & 255)};
}

// A text as drawn large.
struct LargeText {
  double scale = 1;
  int thickness = 1;
  cv::Size size;  // of the letters
  int below = 0;  // under the baseline
};

LargeText measured(const std::string& text, const TextStyle& style) {
  LargeText large;
  const double capital = style.capital_px * kOversampling;
  large.scale = capital / kFontCapital_px;
  large.thickness = std::max(1, static_cast<int>(std::lround(capital * (style.is_bold ? 0.17 : 0.115))));
  large.size = cv::getTextSize(text, kFont, large.scale, large.thickness, &large.below);
  return large;
}

// How much of each pixel is ink, 0 … 255. The baseline lies `above` rows below the top.
struct Mask {
  cv::Mat coverage;  // CV_8U
  int margin = 2;    // empty columns on the left
  int above = 0;
};

Mask mask_of(const std::string& text, const TextStyle& style) {
  const LargeText large = measured(text, style);
  Mask mask;
  const int capital = static_cast<int>(std::lround(style.capital_px));
  mask.above = capital + mask.margin;
  const int below = large.below / kOversampling + mask.margin;
  const int width = large.size.width / kOversampling + 2 * mask.margin + 1;
  cv::Mat drawn(kOversampling * (mask.above + below), kOversampling * width, CV_8U, cv::Scalar(0));
  cv::putText(drawn, text, {kOversampling * mask.margin, kOversampling * mask.above}, kFont, large.scale,
              cv::Scalar(255), large.thickness, cv::LINE_AA);
  cv::resize(drawn, mask.coverage, {width, mask.above + below}, 0, 0, cv::INTER_AREA);
  return mask;
}

void blend(cv::Mat& canvas, const cv::Mat& coverage, cv::Point top_left, const Colour& colour) {
  const cv::Rect inside = cv::Rect(top_left, coverage.size()) & cv::Rect({0, 0}, canvas.size());
  for (int y = inside.y; y < inside.y + inside.height; ++y) {
    const uchar* alpha = coverage.ptr<uchar>(y - top_left.y);
    auto* row = canvas.ptr<cv::Vec3b>(y);
    for (int x = inside.x; x < inside.x + inside.width; ++x) {
      const double share = alpha[x - top_left.x] / 255.0;
      for (int channel = 0; channel < 3; ++channel) {
        row[x][channel] = cv::saturate_cast<uchar>(row[x][channel] * (1 - share) + colour[channel] * share);
      }
    }
  }
}

int shift_of(Align align, int width) {
  return align == Align::left ? 0 : align == Align::centre ? width / 2 : width;
}

std::string encoded(const std::filesystem::path& file, const cv::Mat& picture) {
  std::vector<uchar> bytes;
  const std::string ending = lower(file.extension().string());
  const std::vector<int> parameters = ending == ".jpg" || ending == ".jpeg"
                                          ? std::vector<int>{cv::IMWRITE_JPEG_QUALITY, kJpegQuality}
                                          : std::vector<int>{};
  cv::imencode(ending, picture, bytes, parameters);
  return std::string(bytes.begin(), bytes.end());
}

}  // namespace

Colour white() {
  return rgb(0xffffff);
}
Colour ink() {
  return rgb(0x222222);
}
Colour faint_ink() {
  return rgb(0x707070);
}
Colour grid_ink() {
  return rgb(0xe2e2e2);
}
Colour accent() {
  return rgb(0x10131a);
}

Colour palette_colour(int index) {
  // Neighbours are far apart in hue; none is too pale for white nor too dark for a photo.
  static constexpr std::array<uint32_t, kPaletteSize> colours = {
      0xe6352b, 0x2f7de1, 0x25a244, 0xf28c0f, 0x9b3fd6, 0x00b3b8, 0xe83e97, 0x8c6d1f, 0x6bbf00, 0x4a4fd8,
      0xc9a800, 0x0f7f6e, 0xff6f61, 0x7f8fa6, 0xb0306a, 0x3fb6ff, 0x5e8a3a, 0xb85c00, 0xc77dff, 0x7a3b2e};
  const int wrapped = (index % kPaletteSize + kPaletteSize) % kPaletteSize;
  return rgb(colours[static_cast<size_t>(wrapped)]);
}

Colour readable_on(const Colour& background) {
  // Luma of BT.601.
  const double luma = 0.114 * background[0] + 0.587 * background[1] + 0.299 * background[2];
  return luma > 150 ? rgb(0x000000) : white();
}

Colour shade(double value) {
  static const std::array<Colour, 6> stops = {rgb(0xffffff), rgb(0xd2e3f5), rgb(0x92c1e2),
                                              rgb(0x4292c6), rgb(0x1360a8), rgb(0x082f66)};
  const double place = std::clamp(value, 0.0, 1.0) * static_cast<double>(stops.size() - 1);
  const size_t lower_stop = std::min(static_cast<size_t>(place), stops.size() - 2);
  const double share = place - static_cast<double>(lower_stop);
  return stops[lower_stop] * (1 - share) + stops[lower_stop + 1] * share;
}

cv::Mat blank(int width_px, int height_px) {
  return {height_px, width_px, CV_8UC3, white()};
}

std::string ascii_text(std::string_view text) {
  std::string drawable;
  for (const char letter : text) {
    const auto byte = static_cast<unsigned char>(letter);
    if (byte >= 0x80 && byte < 0xc0) {
      continue;  // the rest of a character that has its '?' already
    }
    drawable += byte >= 0x20 && byte < 0x7f ? letter : '?';
  }
  return drawable;
}

std::string class_name(const std::vector<std::string>& names, int class_index) {
  if (class_index >= 0 && static_cast<size_t>(class_index) < names.size()) {
    const std::string name = ascii_text(names[static_cast<size_t>(class_index)]);
    const auto can_be_read = [](char letter) {
      return (letter >= '0' && letter <= '9') || (letter >= 'a' && letter <= 'z') ||
             (letter >= 'A' && letter <= 'Z');
    };
    if (std::any_of(name.begin(), name.end(), can_be_read)) {
      return name;
    }
  }
  return cat("class ", class_index);
}

cv::Size text_size(const std::string& text, const TextStyle& style) {
  const LargeText large = measured(text, style);
  return {(large.size.width + kOversampling - 1) / kOversampling,
          static_cast<int>(std::lround(style.capital_px))};
}

std::string shortened(const std::string& text, int width_px, const TextStyle& style) {
  std::string kept = text;
  std::string shown = text;
  while (!kept.empty() && text_size(shown, style).width > width_px) {
    kept.pop_back();
    shown = kept + "..";
  }
  return kept.empty() ? "" : shown;
}

void draw_text(cv::Mat& canvas, const std::string& text, cv::Point at, const TextStyle& style, Align align) {
  const Mask mask = mask_of(text, style);
  const cv::Size size = text_size(text, style);
  blend(canvas, mask.coverage,
        {at.x - shift_of(align, size.width) - mask.margin, at.y + size.height / 2 - mask.above},
        style.colour);
}

void draw_text_upwards(cv::Mat& canvas, const std::string& text, cv::Point at, const TextStyle& style,
                       Align align) {
  const Mask mask = mask_of(text, style);
  const cv::Size size = text_size(text, style);
  cv::Mat turned;
  cv::rotate(mask.coverage, turned, cv::ROTATE_90_COUNTERCLOCKWISE);
  const int bottom = at.y + shift_of(align, size.width) + mask.margin;
  blend(canvas, turned, {at.x + size.height / 2 - mask.above, bottom - turned.rows}, style.colour);
}

void write_picture(const std::filesystem::path& file, const std::function<cv::Mat()>& draw) {
  std::string bytes;
  try {
    bytes = encoded(file, draw());
  } catch (const cv::Exception& error) {
    log::warning(cat(file.string(), " is not drawn: ", error.err));
    return;
  } catch (const DataError& error) {
    log::warning(cat(file.string(), " is not drawn: ", error.what()));
    return;
  } catch (const std::bad_alloc&) {
    log::warning(cat(file.string(), " is not drawn: no memory for it"));
    return;
  }
  write_file_atomically(file, bytes);
}

}  // namespace yolodist::pictures
