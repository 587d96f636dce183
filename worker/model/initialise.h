// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "worker/model/model.h"

namespace yolodist::model {

// Fills a new model as YOLOv5 does before training: convolutions uniform in +-1/sqrt(fan_in), batch norms at
// 1, 0, mean 0 and variance 0.9 with one batch counted (what its stride probe on a zero picture leaves
// behind), the Detect biases with their prior for object and class frequency, anchors in grid units. A pure
// function of the seed. Source: ultralytics/yolov5 v7.0 models/yolo.py, DetectionModel.__init__ and
// _initialize_biases. Differs: the random numbers are our own counters, not torch's generator.
void initialise(Model& model, uint64_t seed);

}  // namespace yolodist::model
