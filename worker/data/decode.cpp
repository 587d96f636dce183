// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/data/decode.h"

#include <algorithm>
#include <cmath>
#include <new>
#include <utility>

#include <opencv2/core/utils/logger.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include "common/base/text.h"
#include "worker/data/file_source.h"
#include "worker/data/letterbox.h"
#include "worker/data/picture_cache.h"
#include "worker/data/picture_header.h"

namespace yolodist::data {

void prepare_opencv() {
  static const bool is_done = [] {
    cv::setNumThreads(0);
    // What it would log is handed on as a reason with the file's name.
    cv::utils::logging::setLogLevel(cv::utils::logging::LOG_LEVEL_SILENT);
    return true;
  }();
  static_cast<void>(is_done);
}

DecodeResult decode_picture(const std::filesystem::path& path) {
  prepare_opencv();
  PictureHeader header;
  uint64_t file_bytes = 0;
  {
    FileSource file(path);
    if (!file.problem().empty()) {
      return {std::nullopt, file.problem()};
    }
    header = read_picture_header(file);
    file_bytes = file.size();
  }
  if (header.state == PictureHeader::State::refused) {
    return {std::nullopt, header.reason, file_bytes};
  }
  try {
    // From the file, not from memory: the two differ for a JPEG that is cut short.
    cv::Mat picture = cv::imread(path.string(), cv::IMREAD_COLOR);
    if (picture.empty() || picture.type() != CV_8UC3) {
      return {std::nullopt,
              header.reason.empty() ? "cannot be decoded" : cat("cannot be decoded: ", header.reason),
              file_bytes};
    }
    return {std::move(picture), "", file_bytes, !header.reason.empty()};
  } catch (const cv::Exception& error) {
    return {std::nullopt, cat("cannot be decoded: ", error.err), file_bytes};
  } catch (const std::bad_alloc&) {
    return {std::nullopt, "no memory for it", file_bytes};
  }
}

cv::Size side_size(int height_px, int width_px, int side_px) {
  const double gain = static_cast<double>(side_px) / std::max(height_px, width_px);
  return {static_cast<int>(std::ceil(width_px * gain)), static_cast<int>(std::ceil(height_px * gain))};
}

cv::Mat resized_to_side(const cv::Mat& picture, int side_px, bool for_training) {
  const double gain = static_cast<double>(side_px) / std::max(picture.rows, picture.cols);
  if (gain == 1.0) {
    return picture;
  }
  cv::Mat resized;
  cv::resize(picture, resized, side_size(picture.rows, picture.cols, side_px), 0, 0,
             for_training || gain > 1.0 ? cv::INTER_LINEAR : cv::INTER_AREA);
  return resized;
}

LoadedPicture load_picture(const Index& index, int picture_index, int side_px, bool for_training,
                           DecodeFailures* failures, PictureCache* cache) {
  const Picture& picture = index.pictures.at(static_cast<size_t>(picture_index));
  const bool is_cached = cache != nullptr && cache->is_of(side_px, for_training);
  if (is_cached) {
    if (const cv::Mat image = cache->find(picture_index); !image.empty()) {
      if (failures != nullptr) {
        failures->read_well(picture);  // single bad pictures are never cached: they must not look like a row
      }
      return {image, picture.height_px, picture.width_px, true};
    }
  }
  DecodeResult decoded = decode_picture(picture.path);
  if (decoded.picture && decoded.is_doubtful && decoded.file_bytes < picture.file_bytes) {
    decoded.picture.reset();
    decoded.reason = cat("it has ", decoded.file_bytes, " bytes, had ", picture.file_bytes);
  }
  LoadedPicture loaded;
  if (!decoded.picture) {
    if (failures != nullptr) {
      failures->report(picture, decoded.reason);
    }
    loaded.is_readable = false;
    // Only the shape matters, so a grey picture is not made at full size first.
    loaded.native_height_px = picture.height_px;
    loaded.native_width_px = picture.width_px;
    loaded.image =
        cv::Mat(side_size(picture.height_px, picture.width_px, side_px), CV_8UC3, padding_colour());
    return loaded;
  }
  if (failures != nullptr) {
    failures->read_well(picture);
  }
  loaded.native_height_px = decoded.picture->rows;
  loaded.native_width_px = decoded.picture->cols;
  loaded.image = resized_to_side(*decoded.picture, side_px, for_training);
  if (is_cached) {
    cache->store(picture_index, picture, decoded.picture->size(), loaded.image);
  }
  return loaded;
}

}  // namespace yolodist::data
