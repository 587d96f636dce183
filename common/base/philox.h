// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace yolodist {

// A counter-based random number generator: the value is a pure function of (key, counter), so draws do not
// depend on the order in which threads or ranks make them. Source: Salmon, Moraes, Dror, Shaw, "Parallel
// random numbers: as easy as 1, 2, 3", SC 2011: Philox4x32-10.
struct PhiloxBlock {
  uint32_t word[4];
};
PhiloxBlock philox4x32(const uint32_t counter[4], const uint32_t key[2]);

// What a sequence of draws is for. Streams never share values, and a new one is added at the end.
enum class RandomStream : uint32_t {
  weights = 0,        // initial parameters; a = parameter index
  shuffle = 1,        // the order of an epoch; a = epoch
  augment = 2,        // a picture's augmentation; a = epoch, b = position in the epoch
  multi_scale = 3,    // the side of a global batch; a = epoch, b = batch
  anchors = 4,        // AutoAnchor; a = 0 jitter, 1 k-means, 2 evolution
  copy_paste = 5,     // the objects of one mosaic; the seed is drawn from augment
  image_weights = 6,  // the pictures of an epoch; a = epoch
};

// Draws number 0, 1, 2, … of one stream. Copyable; the same arguments give the same sequence on every
// machine.
class Draws64 {
 public:
  Draws64(uint64_t seed, RandomStream stream, uint32_t a, uint32_t b = 0)
      : key_{static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)},
        counter_{0, static_cast<uint32_t>(stream), a, b} {}

  uint32_t bits();
  double uniform();                         // in [0, 1), 53 random bits
  double uniform(double low, double high);  // in [low, high)
  uint32_t below(uint32_t bound);           // integer in [0, bound), unbiased; bound > 0
  double normal();                          // mean 0, deviation 1 (Box-Muller, one value a call)
  double beta(double a, double b);          // Beta(a, b) with a, b >= 1, by Cheng's BB rejection

 private:
  uint32_t key_[2];
  uint32_t counter_[4];
  PhiloxBlock block_{};
  int used_ = 4;
};

}  // namespace yolodist
