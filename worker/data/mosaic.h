// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>

#include <opencv2/core.hpp>

#include "common/config/hyperparameters.h"
#include "worker/data/decode_failures.h"
#include "worker/data/draws.h"
#include "worker/data/index.h"
#include "worker/data/perspective.h"

namespace yolodist::data {

class PictureCache;

// Where a tile of width x height goes on the canvas, and which part of it: same-sized rectangles, maybe
// empty.
struct TilePlace {
  cv::Rect canvas;
  cv::Rect tile;
};
// Tile 0 lies left above the centre, 1 right above, 2 left below, 3 right below; each touches the centre and
// is cut off at the canvas's edge. Source: ultralytics/yolov5 v7.0 utils/dataloaders.py, load_mosaic.
TilePlace tile_place(int tile, int width_px, int height_px, int centre_x_px, int centre_y_px,
                     int canvas_side_px);

// The four pictures on a canvas of twice the side, with boxes and segments clipped to it. `failures` and
// `cache` may be null.
Canvas mosaic_canvas(const Index& index, int picture_index, const MosaicDraws& draws, int imgsz_px,
                     DecodeFailures* failures, PictureCache* cache = nullptr);

// mosaic_canvas with copy-paste (hyp.copy_paste), warped to imgsz x imgsz.
Canvas mosaic(const Index& index, int picture_index, const MosaicDraws& draws,
              const config::Hyperparameters& hyp, int imgsz_px, DecodeFailures* failures,
              PictureCache* cache = nullptr);

}  // namespace yolodist::data
