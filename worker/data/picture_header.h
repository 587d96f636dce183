// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "worker/data/file_source.h"

namespace yolodist::data {

// Larger pictures are refused before any memory is taken for them.
// Source: Pillow's DecompressionBombError, twice MAX_IMAGE_PIXELS, by which YOLOv5 refuses pictures.
inline constexpr int64_t max_picture_pixels = 178956970;

// What the first bytes of a picture say, found without decoding it.
struct PictureHeader {
  enum class State {
    sized,        // width and height are what a decoder will give
    must_decode,  // only decoding tells whether, and how large, it is
    refused,      // no picture, or one not to be opened: `reason`
  };
  State state = State::must_decode;
  int width_px = 0, height_px = 0;  // as shown, turned by EXIF; meaningful when sized
  std::string reason;               // why refused, or what is doubtful about a must_decode; may be ""
};

// Knows JPEG (MPO), PNG, BMP, WebP by their sizes, TIFF (DNG) and PFM as far as the size limit; by content,
// not by the name's extension. Anything else is refused, as YOLOv5 does.
PictureHeader read_picture_header(FileSource& source);

}  // namespace yolodist::data
