// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/data/mosaic.h"

#include <algorithm>
#include <utility>

#include "worker/data/copy_paste.h"
#include "worker/data/decode.h"
#include "worker/data/letterbox.h"

namespace yolodist::data {
namespace {

void clip(PixelBox& box, float side) {
  for (float* value : {&box.x1, &box.y1, &box.x2, &box.y2}) {
    *value = std::clamp(*value, 0.0f, side);
  }
}

// A polygon of the picture in canvas pixels, clipped.
Polygon on_canvas(const Polygon& segment, const cv::Mat& tile, cv::Point offset, float side) {
  const auto width = static_cast<float>(tile.cols), height = static_cast<float>(tile.rows);
  const auto offset_x = static_cast<float>(offset.x), offset_y = static_cast<float>(offset.y);
  Polygon placed;
  placed.reserve(segment.size());
  for (const Point& point : segment) {
    placed.push_back({std::clamp(width * point.x + offset_x, 0.0f, side),
                      std::clamp(height * point.y + offset_y, 0.0f, side)});
  }
  return placed;
}

}  // namespace

TilePlace tile_place(int tile, int width_px, int height_px, int centre_x_px, int centre_y_px,
                     int canvas_side_px) {
  const bool is_left = tile == 0 || tile == 2, is_top = tile == 0 || tile == 1;
  TilePlace place;
  cv::Rect& canvas = place.canvas;
  canvas.width = std::min(width_px, is_left ? centre_x_px : canvas_side_px - centre_x_px);
  canvas.height = std::min(height_px, is_top ? centre_y_px : canvas_side_px - centre_y_px);
  canvas.x = is_left ? centre_x_px - canvas.width : centre_x_px;
  canvas.y = is_top ? centre_y_px - canvas.height : centre_y_px;
  place.tile = cv::Rect(is_left ? width_px - canvas.width : 0, is_top ? height_px - canvas.height : 0,
                        canvas.width, canvas.height);
  return place;
}

Canvas mosaic_canvas(const Index& index, int picture_index, const MosaicDraws& draws, int imgsz_px,
                     DecodeFailures* failures, PictureCache* cache) {
  const int side_px = 2 * imgsz_px;
  const auto side = static_cast<float>(side_px);
  const std::array<int, 4> pictures = {picture_index, draws.partners[0], draws.partners[1],
                                       draws.partners[2]};
  Canvas canvas;
  canvas.image = cv::Mat(side_px, side_px, CV_8UC3, padding_colour());
  for (int k = 0; k < 4; ++k) {
    const int shown = pictures.at(static_cast<size_t>(draws.order[static_cast<size_t>(k)]));
    const LoadedPicture loaded = load_picture(index, shown, imgsz_px, /*for_training=*/true, failures, cache);
    const TilePlace place =
        tile_place(k, loaded.image.cols, loaded.image.rows, draws.centre_x_px, draws.centre_y_px, side_px);
    loaded.image(place.tile).copyTo(canvas.image(place.canvas));
    if (!loaded.is_readable) {
      continue;
    }
    const Picture& picture = index.pictures.at(static_cast<size_t>(shown));
    const cv::Point offset = place.canvas.tl() - place.tile.tl();
    for (PixelBox& box :
         to_pixels(picture.targets, loaded.image.cols, loaded.image.rows, offset.x, offset.y)) {
      clip(box, side);
      canvas.boxes.push_back(box);
    }
    for (const Polygon& segment : picture.segments) {
      canvas.segments.push_back(on_canvas(segment, loaded.image, offset, side));
    }
  }
  return canvas;
}

Canvas mosaic(const Index& index, int picture_index, const MosaicDraws& draws,
              const config::Hyperparameters& hyp, int imgsz_px, DecodeFailures* failures,
              PictureCache* cache) {
  Canvas canvas = mosaic_canvas(index, picture_index, draws, imgsz_px, failures, cache);
  if (hyp.copy_paste > 0) {
    copy_paste(canvas, chosen_objects(draws.copy_paste_key, static_cast<int>(canvas.segments.size()),
                                      hyp.copy_paste));
  }
  return random_perspective(canvas, draws.warp, hyp.perspective != 0, mosaic_border_px(imgsz_px));
}

}  // namespace yolodist::data
