// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>

#include "common/config/hyperparameters.h"
#include "worker/data/decode_failures.h"
#include "worker/data/draws.h"
#include "worker/data/index.h"
#include "worker/data/sample.h"
#include "worker/data/shape.h"

namespace yolodist::data {

class PictureCache;

// What the samples of a run share beside their recipe.
struct SampleContext {
  DecodeFailures* failures = nullptr;  // is told of pictures that cannot be read; may be null
  std::optional<Shape> rect;           // training with --rect: the batch's shape; no mosaic then
  PictureCache* cache = nullptr;       // of the training pictures; may be null
};

// One training sample, imgsz x imgsz (or `rect`). With augment mosaic or letterbox with warp, mixup, colour
// and flips as the draws say; without, the picture is letterboxed, growing if it is small. A picture that
// cannot be read is grey without labels. Source: ultralytics/yolov5 v7.0 utils/dataloaders.py,
// LoadImagesAndLabels.__getitem__ (without Albumentations).
Sample training_sample(const Index& index, int picture_index, const Draws& draws,
                       const config::Hyperparameters& hyp, int imgsz_px, bool augment,
                       const SampleContext& context = {});

// One validation sample of height x width: the picture with its longer side at imgsz, letterboxed, never
// enlarged a second time. `cache` is that of the validation pictures. Targets are fractions of the input;
// `fitting` leads back to the picture's own pixels.
Sample validation_sample(const Index& index, int picture_index, int height_px, int width_px, int imgsz_px,
                         DecodeFailures* failures = nullptr, PictureCache* cache = nullptr);

// One picture for detection, of no index: its longer side at imgsz, padded to multiples of the stride. Throws
// DataError "PATH: why" when it cannot be read.
Sample detection_sample(const std::filesystem::path& picture, int imgsz_px, int stride_px);

}  // namespace yolodist::data
