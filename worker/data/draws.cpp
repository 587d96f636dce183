// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/data/draws.h"

#include <utility>

#include "common/base/error.h"
#include "common/base/philox.h"

namespace yolodist::data {
namespace {

PerspectiveDraws draw_warp(Draws64& draws, const config::Hyperparameters& hyp) {
  PerspectiveDraws warp;
  warp.perspective_x = draws.uniform(-hyp.perspective, hyp.perspective);
  warp.perspective_y = draws.uniform(-hyp.perspective, hyp.perspective);
  warp.angle_degrees = draws.uniform(-hyp.degrees, hyp.degrees);
  warp.scale = draws.uniform(1 - hyp.scale, 1 + hyp.scale);
  warp.shear_x_degrees = draws.uniform(-hyp.shear, hyp.shear);
  warp.shear_y_degrees = draws.uniform(-hyp.shear, hyp.shear);
  warp.translate_x = draws.uniform(0.5 - hyp.translate, 0.5 + hyp.translate);
  warp.translate_y = draws.uniform(0.5 - hyp.translate, 0.5 + hyp.translate);
  return warp;
}

MosaicDraws draw_mosaic(Draws64& draws, const config::Hyperparameters& hyp, uint32_t image_count,
                        int imgsz_px) {
  MosaicDraws mosaic;
  const int border_px = mosaic_border_px(imgsz_px);
  mosaic.centre_y_px = static_cast<int>(draws.uniform(border_px, 2.0 * imgsz_px - border_px));
  mosaic.centre_x_px = static_cast<int>(draws.uniform(border_px, 2.0 * imgsz_px - border_px));
  for (int& partner : mosaic.partners) {
    partner = static_cast<int>(draws.below(image_count));
  }
  for (uint32_t i = 3; i > 0; --i) {
    std::swap(mosaic.order[i], mosaic.order[draws.below(i + 1)]);
  }
  mosaic.warp = draw_warp(draws, hyp);
  return mosaic;
}

uint64_t draw_key(Draws64& draws) {
  const uint64_t high = draws.bits();
  return high << 32 | draws.bits();
}

}  // namespace

Draws draw_sample(const config::Hyperparameters& hyp, int image_count, int imgsz_px, int64_t seed, int epoch,
                  int64_t position) {
  check(image_count > 0, "draw_sample: there are pictures to draw from");
  const auto count = static_cast<uint32_t>(image_count);
  Draws64 draws(static_cast<uint64_t>(seed), RandomStream::augment, static_cast<uint32_t>(epoch),
                static_cast<uint32_t>(position));
  Draws sample;
  sample.mosaic = draws.uniform() < hyp.mosaic;
  sample.flip_up_down = draws.uniform() < hyp.flipud;
  sample.flip_left_right = draws.uniform() < hyp.fliplr;
  sample.hue_gain = draws.uniform(-1, 1) * hyp.hsv_h + 1;
  sample.saturation_gain = draws.uniform(-1, 1) * hyp.hsv_s + 1;
  sample.value_gain = draws.uniform(-1, 1) * hyp.hsv_v + 1;
  sample.first = draw_mosaic(draws, hyp, count, imgsz_px);
  sample.mixup = draws.uniform() < hyp.mixup;
  sample.mixup_picture = static_cast<int>(draws.below(count));
  sample.second = draw_mosaic(draws, hyp, count, imgsz_px);
  sample.mixup_ratio = draws.beta(32.0, 32.0);
  // New draws go to the end, so that a seed keeps the samples that it had.
  sample.first.copy_paste_key = draw_key(draws);
  sample.second.copy_paste_key = draw_key(draws);
  return sample;
}

}  // namespace yolodist::data
