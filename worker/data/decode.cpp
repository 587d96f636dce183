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
  {
    FileSource file(path);
    if (!file.problem().empty()) {
      return {std::nullopt, file.problem()};
    }
    header = read_picture_header(file);
  }
  if (header.state == PictureHeader::State::refused) {
    return {std::nullopt, header.reason};
  }
  try {
    // From the file, not from memory: the two differ for a JPEG that is cut short.
    cv::Mat picture = cv::imread(path.string(), cv::IMREAD_COLOR);
    if (picture.empty() || picture.type() != CV_8UC3) {
      return {std::nullopt,
              header.reason.empty() ? "cannot be decoded" : cat("cannot be decoded: ", header.reason)};
    }
    return {std::move(picture), ""};
  } catch (const cv::Exception& error) {
    return {std::nullopt, cat("cannot be decoded: ", error.err)};
  } catch (const std::bad_alloc&) {
    return {std::nullopt, "no memory for it"};
  }
}

cv::Mat resized_to_side(const cv::Mat& picture, int side_px, bool augment) {
  const double gain = static_cast<double>(side_px) / std::max(picture.rows, picture.cols);
  if (gain == 1.0) {
    return picture;
  }
  const cv::Size size(static_cast<int>(std::ceil(picture.cols * gain)),
                      static_cast<int>(std::ceil(picture.rows * gain)));
  cv::Mat resized;
  cv::resize(picture, resized, size, 0, 0, augment || gain > 1.0 ? cv::INTER_LINEAR : cv::INTER_AREA);
  return resized;
}

LoadedPicture load_picture(const Index& index, int picture_index, int side_px, bool augment,
                           DecodeFailures* failures) {
  const Picture& picture = index.pictures.at(static_cast<size_t>(picture_index));
  DecodeResult decoded = decode_picture(picture.path);
  LoadedPicture loaded;
  if (!decoded.picture) {
    if (failures != nullptr) {
      failures->report(picture_index, picture, decoded.reason);
    }
    loaded.is_readable = false;
    // Only the shape matters, so a grey picture is not made at full size first.
    const double gain = static_cast<double>(side_px) / std::max(picture.height_px, picture.width_px);
    loaded.native_height_px = picture.height_px;
    loaded.native_width_px = picture.width_px;
    loaded.image = cv::Mat(static_cast<int>(std::ceil(picture.height_px * gain)),
                           static_cast<int>(std::ceil(picture.width_px * gain)), CV_8UC3, padding_colour());
    return loaded;
  }
  loaded.native_height_px = decoded.picture->rows;
  loaded.native_width_px = decoded.picture->cols;
  loaded.image = resized_to_side(*decoded.picture, side_px, augment);
  return loaded;
}

}  // namespace yolodist::data
