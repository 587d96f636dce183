// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "worker/data/draws.h"
#include "worker/data/index.h"

namespace yolodist::data {

// One over each class's number of labels (1 where there is none), scaled so that they sum to the number of
// classes. Source: ultralytics/yolov5 v7.0 utils/general.py, labels_to_class_weights, and train.py.
std::vector<double> class_weights(const Index& index, int class_count);

// A picture's weight: the sum over its labels of class weight * (1 - mAP)² / number of classes, so that
// pictures of rare and badly found classes come more often. `maps`: mAP50-95 of each class at the last
// validation, 0 before the first. Pictures without labels weigh nothing. Source: the same,
// labels_to_image_weights.
std::vector<double> image_weights(const Index& index, std::span<const double> weights_of_classes,
                                  std::span<const double> maps);

// Place i holds the picture that uniforms[i] in [0, 1) picks, each with a chance in proportion to its weight;
// without any weight all are alike.
std::vector<int> picked_by_weight(std::span<const double> weights, std::span<const double> uniforms);

// The epoch's pictures with --image-weights, as many as there are, drawn with replacement from counters:
// takes the place of epoch_order.
std::vector<int> weighted_epoch_order(std::span<const double> weights, int64_t seed, int epoch);

// With --image-weights the other three pictures of a mosaic come from the epoch's pictures too: turns the
// partners of both mosaics from places in `order` into pictures. The picture that is mixed in stays any.
void take_partners_from(Draws& draws, std::span<const int> order);

}  // namespace yolodist::data
