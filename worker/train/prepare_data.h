// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "worker/train/training.h"

namespace yolodist::train {

// Scans the pictures of the data set in training.data_set, each rank a share, and writes logs/data.txt.
// Collective. Throws DataError on every rank alike.
void read_pictures(Training& training);

// What of the data depends on the model's side and strides: validation groups, --rect, --image-weights,
// --cache.
void plan_pictures(Training& training, int max_stride_px);

// Looks whether the anchors fit the labels and replaces them if better ones are found; rank 0's answer
// counts. Collective. Throws DataError when hyp.anchors asks for another number of anchors than the model
// has. Source: ultralytics/yolov5 v7.0 utils/autoanchor.py.
void fit_anchors(Training& training);

}  // namespace yolodist::train
