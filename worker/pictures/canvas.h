// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <opencv2/core.hpp>

// Colours, text and files: what every picture of this room is made of. Canvases are CV_8UC3, BGR.
namespace yolodist::pictures {

using Colour = cv::Scalar;  // blue, green, red; 0 … 255

Colour white();
Colour ink();        // text and axes
Colour faint_ink();  // secondary text
Colour grid_ink();   // grid lines
Colour accent();     // the mean, the curve that matters

// One of 20 colours that differ from each other and can be seen on white and on photos; repeats after 20.
inline constexpr int kPaletteSize = 20;
Colour palette_colour(int index);
// Black or white, whichever is read better on `background`.
Colour readable_on(const Colour& background);
// White at 0 over blue to nearly black at 1.
Colour shade(double value);

cv::Mat blank(int width_px, int height_px);

// What can be drawn of a text: anything but printable ASCII is '?', one for each character of UTF-8.
std::string ascii_text(std::string_view text);
std::string class_name(const std::vector<std::string>& names, int class_index);

struct TextStyle {
  double capital_px = 10;  // height of a capital letter
  Colour colour = ink();
  bool is_bold = false;
};
enum class Align { left, centre, right };

// Of the letters, without the tails of g and y.
cv::Size text_size(const std::string& text, const TextStyle& style);
// `text`, or its beginning and "..", so that it is not wider than asked for.
std::string shortened(const std::string& text, int width_px, const TextStyle& style);
// One line of text. `at` lies at half the height of its capital letters, left of, centred under or right of
// it. What lies outside the canvas is cut off.
void draw_text(cv::Mat& canvas, const std::string& text, cv::Point at, const TextStyle& style = {},
               Align align = Align::left);
// Turned to be read from below; left = begins at `at`, right = ends at it.
void draw_text_upwards(cv::Mat& canvas, const std::string& text, cv::Point at, const TextStyle& style = {},
                       Align align = Align::left);

// Draws, encodes as the ending of `file` says and writes atomically. A picture that cannot be drawn is
// reported as a warning; throws StorageError only.
void write_picture(const std::filesystem::path& file, const std::function<cv::Mat()>& draw);

}  // namespace yolodist::pictures
