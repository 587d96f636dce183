// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "worker/data/perspective.h"

namespace yolodist::data {

// round(share * object_count), half to even, different numbers of [0, object_count), in the order in which
// they are to be tried. `key` is MosaicDraws::copy_paste_key.
std::vector<int> chosen_objects(uint64_t key, int object_count, double share);

// Copies objects of the canvas to where they would be if it were mirrored left to right: pixels inside the
// polygon, box and polygon. An object whose mirrored box hides 30 % or more of any box, or of one pasted
// before, stays where it is. Does nothing without one segment a box. Source: ultralytics/yolov5 v7.0
// utils/augmentations.py, copy_paste.
void copy_paste(Canvas& canvas, std::span<const int> objects);

}  // namespace yolodist::data
