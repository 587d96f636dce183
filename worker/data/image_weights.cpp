// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/data/image_weights.h"

#include <algorithm>
#include <numeric>

#include "common/base/error.h"
#include "common/base/philox.h"

namespace yolodist::data {

std::vector<double> class_weights(const Index& index, int class_count) {
  check(class_count > 0, "class_weights: there are classes");
  std::vector<double> weights(static_cast<size_t>(class_count), 0.0);
  for (const Picture& picture : index.pictures) {
    for (const Target& target : picture.targets) {
      weights.at(static_cast<size_t>(target.class_index)) += 1;
    }
  }
  double sum = 0;
  for (double& weight : weights) {
    weight = 1 / std::max(weight, 1.0);
    sum += weight;
  }
  for (double& weight : weights) {
    weight = weight / sum * class_count;
  }
  return weights;
}

std::vector<double> image_weights(const Index& index, std::span<const double> weights_of_classes,
                                  std::span<const double> maps) {
  check(weights_of_classes.size() == maps.size(), "image_weights: a weight and a mAP for each class");
  std::vector<double> need(maps.size());
  for (size_t c = 0; c < need.size(); ++c) {
    need[c] = weights_of_classes[c] * (1 - maps[c]) * (1 - maps[c]) / static_cast<double>(maps.size());
  }
  std::vector<double> weights;
  weights.reserve(index.pictures.size());
  for (const Picture& picture : index.pictures) {
    double weight = 0;
    for (const Target& target : picture.targets) {
      weight += need.at(static_cast<size_t>(target.class_index));
    }
    weights.push_back(weight);
  }
  return weights;
}

std::vector<int> picked_by_weight(std::span<const double> weights, std::span<const double> uniforms) {
  check(!weights.empty(), "picked_by_weight: there are pictures");
  std::vector<double> sums(weights.size());
  std::partial_sum(weights.begin(), weights.end(), sums.begin());
  if (!(sums.back() > 0)) {
    std::iota(sums.begin(), sums.end(), 1.0);
  }
  std::vector<int> picked;
  picked.reserve(uniforms.size());
  for (const double uniform : uniforms) {
    const auto at = std::upper_bound(sums.begin(), sums.end() - 1, uniform * sums.back());
    picked.push_back(static_cast<int>(at - sums.begin()));
  }
  return picked;
}

std::vector<int> weighted_epoch_order(std::span<const double> weights, int64_t seed, int epoch) {
  Draws64 draws(static_cast<uint64_t>(seed), RandomStream::image_weights, static_cast<uint32_t>(epoch));
  std::vector<double> uniforms(weights.size());
  for (double& uniform : uniforms) {
    uniform = draws.uniform();
  }
  return picked_by_weight(weights, uniforms);
}

void take_partners_from(Draws& draws, std::span<const int> order) {
  for (MosaicDraws* mosaic : {&draws.first, &draws.second}) {
    for (int& partner : mosaic->partners) {
      check(partner >= 0 && static_cast<size_t>(partner) < order.size(),
            "take_partners_from: places in the order");
      partner = order[static_cast<size_t>(partner)];
    }
  }
}

}  // namespace yolodist::data
