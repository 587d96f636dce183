// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include <opencv2/core.hpp>

#include "worker/data/decode_failures.h"
#include "worker/data/index.h"

namespace yolodist::data {

class PictureCache;

// One thread a call and quiet logs: parallelism comes from the loader's threads. Called by everything here
// that decodes; calling it again does nothing.
void prepare_opencv();

struct DecodeResult {
  std::optional<cv::Mat> picture;  // BGR, 8 bits, turned as EXIF says
  std::string reason;              // why there is none
  uint64_t file_bytes = 0;         // of its file; 0 where it cannot be opened
  bool is_doubtful = false;        // a JPEG without its end marker, of which a decoder still makes something
};

// Same pixels as cv::imread(path, cv::IMREAD_COLOR). Never throws for what a file can hold.
DecodeResult decode_picture(const std::filesystem::path& path);

// The size of a picture once its longer side is side_px: rounded up.
cv::Size side_size(int height_px, int width_px, int side_px);

// The picture with its longer side at `side_px`: bilinear if `for_training` or if it grows, else by area. A
// picture that already fits is not copied. Source: yolov5 7.0.14 utils/dataloaders.py,
// LoadImagesAndLabels.load_image (v7.0 rounds sizes down).
cv::Mat resized_to_side(const cv::Mat& picture, int side_px, bool for_training);

// A picture of the index at the training or validation side.
struct LoadedPicture {
  cv::Mat image;  // read-only: it may lie in the cache, which it must not outlive
  int native_height_px = 0, native_width_px = 0;
  bool is_readable = true;  // false: grey 114 in the size that the index has, and no labels
};
// Grey is also a doubtful one that has become shorter since the scan. From the cache, if it is one of this
// side and rule and has the picture; else decoded, and left to such a cache. `failures` and `cache` may be
// null. Thread-safe.
LoadedPicture load_picture(const Index& index, int picture_index, int side_px, bool for_training,
                           DecodeFailures* failures, PictureCache* cache = nullptr);

}  // namespace yolodist::data
