// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/data/pipeline.h"

#include <algorithm>
#include <utility>

#include <opencv2/core.hpp>

#include "common/base/error.h"
#include "common/base/text.h"
#include "worker/data/boxes.h"
#include "worker/data/decode.h"
#include "worker/data/hsv.h"
#include "worker/data/letterbox.h"
#include "worker/data/mixup.h"
#include "worker/data/mosaic.h"
#include "worker/data/perspective.h"

namespace yolodist::data {
namespace {

// The picture alone in a shape, with its boxes in that shape's pixels. Segments are not carried along: YOLOv5
// warps a single picture by its boxes only.
struct Framed {
  Canvas canvas;
  LetterboxGeometry geometry;
  LoadedPicture loaded;
};

Framed framed_picture(const Index& index, int picture_index, Shape shape, int imgsz_px, bool for_training,
                      DecodeFailures* failures, PictureCache* cache) {
  Framed framed;
  framed.loaded = load_picture(index, picture_index, imgsz_px, for_training, failures, cache);
  const cv::Mat& image = framed.loaded.image;
  framed.geometry = letterbox_geometry(image.rows, image.cols, shape, /*scale_up=*/for_training);
  framed.canvas.image = letterbox(image, shape, framed.geometry);
  if (framed.loaded.is_readable) {
    framed.canvas.boxes = to_pixels(index.pictures.at(static_cast<size_t>(picture_index)).targets,
                                    framed.geometry.gain * image.cols, framed.geometry.gain * image.rows,
                                    framed.geometry.pad_w, framed.geometry.pad_h);
  }
  return framed;
}

// BGR, interleaved -> RGB, planar.
std::vector<uint8_t> planar_rgb(const cv::Mat& image) {
  const auto plane = static_cast<size_t>(image.rows) * static_cast<size_t>(image.cols);
  std::vector<uint8_t> pixels(3 * plane);
  uint8_t* red = pixels.data();
  uint8_t* green = red + plane;
  uint8_t* blue = green + plane;
  for (int y = 0; y < image.rows; ++y) {
    const auto* row = image.ptr<uint8_t>(y);
    for (int x = 0; x < image.cols; ++x) {
      *blue++ = *row++;
      *green++ = *row++;
      *red++ = *row++;
    }
  }
  return pixels;
}

Sample finished(const cv::Mat& image, std::vector<Target> targets, int picture_index) {
  Sample sample;
  sample.picture_index = picture_index;
  sample.height_px = image.rows;
  sample.width_px = image.cols;
  sample.pixels = planar_rgb(image);
  sample.targets = std::move(targets);
  return sample;
}

void flip(cv::Mat& image, std::vector<Target>& targets, const Draws& draws) {
  if (draws.flip_up_down) {
    cv::flip(image, image, 0);
    for (Target& target : targets) {
      target.y = 1 - target.y;
    }
  }
  if (draws.flip_left_right) {
    cv::flip(image, image, 1);
    for (Target& target : targets) {
      target.x = 1 - target.x;
    }
  }
}

}  // namespace

Sample training_sample(const Index& index, int picture_index, const Draws& draws,
                       const config::Hyperparameters& hyp, int imgsz_px, bool augment,
                       const SampleContext& context) {
  const Shape shape = context.rect.value_or(Shape{imgsz_px, imgsz_px});
  Canvas canvas;
  if (augment && draws.mosaic && !context.rect) {
    canvas = mosaic(index, picture_index, draws.first, hyp, imgsz_px, context.failures, context.cache);
    if (draws.mixup) {
      mix_in(canvas,
             mosaic(index, draws.mixup_picture, draws.second, hyp, imgsz_px, context.failures, context.cache),
             draws.mixup_ratio);
    }
  } else {
    canvas = framed_picture(index, picture_index, shape, imgsz_px, /*for_training=*/true, context.failures,
                            context.cache)
                 .canvas;
    if (augment) {
      canvas = random_perspective(canvas, draws.first.warp, hyp.perspective != 0, /*border_px=*/0);
    }
  }
  std::vector<Target> targets = to_fractions(canvas.boxes, canvas.image.cols, canvas.image.rows);
  if (augment) {
    if (hyp.hsv_h != 0 || hyp.hsv_s != 0 || hyp.hsv_v != 0) {
      change_hsv(canvas.image, draws.hue_gain, draws.saturation_gain, draws.value_gain);
    }
    flip(canvas.image, targets, draws);
  }
  return finished(canvas.image, std::move(targets), picture_index);
}

Sample validation_sample(const Index& index, int picture_index, int height_px, int width_px, int imgsz_px,
                         DecodeFailures* failures, PictureCache* cache) {
  const Framed framed = framed_picture(index, picture_index, {height_px, width_px}, imgsz_px,
                                       /*for_training=*/false, failures, cache);
  Sample sample =
      finished(framed.canvas.image, to_fractions(framed.canvas.boxes, width_px, height_px), picture_index);
  const LoadedPicture& loaded = framed.loaded;
  sample.fitting = {loaded.native_height_px,
                    loaded.native_width_px,
                    static_cast<double>(loaded.image.rows) / loaded.native_height_px,
                    static_cast<double>(loaded.image.cols) / loaded.native_width_px,
                    framed.geometry.pad_w,
                    framed.geometry.pad_h};
  return sample;
}

Sample detection_sample(const std::filesystem::path& picture, int imgsz_px, int stride_px) {
  const DecodeResult decoded = decode_picture(picture);
  if (!decoded.picture) {
    throw DataError(cat(picture.string(), ": ", decoded.reason));
  }
  const cv::Mat& image = *decoded.picture;
  const LetterboxGeometry geometry = least_letterbox(image.rows, image.cols, imgsz_px, stride_px);
  const Shape shape = target_of(geometry);
  Sample sample = finished(letterbox(image, shape, geometry), {}, 0);
  // YOLOv5 finds gain and padding anew from the shapes. Source: v7.0 utils/general.py, scale_boxes.
  const double gain = std::min(static_cast<double>(shape.height_px) / image.rows,
                               static_cast<double>(shape.width_px) / image.cols);
  sample.fitting = {image.rows,
                    image.cols,
                    gain,
                    gain,
                    (shape.width_px - image.cols * gain) / 2,
                    (shape.height_px - image.rows * gain) / 2};
  return sample;
}

}  // namespace yolodist::data
