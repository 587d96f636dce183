// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "worker/data/perspective.h"

namespace yolodist::data {

// Blends `other` into `canvas`: pixels canvas * ratio + other * (1 - ratio), cut to whole numbers; boxes of
// both. Same size. Source: ultralytics/yolov5 v7.0 utils/augmentations.py, mixup.
void mix_in(Canvas& canvas, const Canvas& other, double ratio);

}  // namespace yolodist::data
