// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/base/philox.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace yolodist {

PhiloxBlock philox4x32(const uint32_t counter[4], const uint32_t key[2]) {
  // Multipliers and key increments (golden ratio, sqrt(3) - 1) as in the paper.
  constexpr uint64_t multiplier0 = 0xD2511F53, multiplier1 = 0xCD9E8D57;
  constexpr uint32_t weyl0 = 0x9E3779B9, weyl1 = 0xBB67AE85;
  PhiloxBlock c{{counter[0], counter[1], counter[2], counter[3]}};
  uint32_t k0 = key[0], k1 = key[1];
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = multiplier0 * c.word[0];
    const uint64_t product1 = multiplier1 * c.word[2];
    c = {{static_cast<uint32_t>(product1 >> 32) ^ c.word[1] ^ k0, static_cast<uint32_t>(product1),
          static_cast<uint32_t>(product0 >> 32) ^ c.word[3] ^ k1, static_cast<uint32_t>(product0)}};
    k0 += weyl0;
    k1 += weyl1;
  }
  return c;
}

uint32_t Draws64::bits() {
  if (used_ == 4) {
    block_ = philox4x32(counter_, key_);
    ++counter_[0];
    used_ = 0;
  }
  return block_.word[used_++];
}

double Draws64::uniform() {
  const uint64_t high = bits() >> 5, low = bits() >> 6;  // 27 + 26 bits
  return static_cast<double>((high << 26) | low) * 0x1.0p-53;
}

double Draws64::uniform(double low, double high) {
  return low + (high - low) * uniform();
}

uint32_t Draws64::below(uint32_t bound) {
  // Lemire's multiplication method with rejection of the uneven remainder.
  uint64_t product = static_cast<uint64_t>(bits()) * bound;
  if (static_cast<uint32_t>(product) < bound) {
    const uint32_t threshold = (0u - bound) % bound;
    while (static_cast<uint32_t>(product) < threshold) {
      product = static_cast<uint64_t>(bits()) * bound;
    }
  }
  return static_cast<uint32_t>(product >> 32);
}

double Draws64::normal() {
  const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));
  return radius * std::cos(2.0 * std::numbers::pi * uniform());
}

double Draws64::beta(double a, double b) {
  if (a == 1.0 && b == 1.0) {
    return uniform();  // BB divides 0 by 0 here
  }
  // Source: R. C. H. Cheng, "Generating beta variates with nonintegral shape parameters", CACM 21 (1978), BB.
  const double smaller = std::min(a, b), larger = std::max(a, b);
  const double sum = smaller + larger;
  const double beta = std::sqrt((sum - 2.0) / (2.0 * smaller * larger - sum));
  const double gamma = smaller + 1.0 / beta;
  while (true) {
    const double u1 = uniform(), u2 = uniform();
    if (u1 == 0.0 || u2 == 0.0) {
      continue;
    }
    const double v = beta * std::log(u1 / (1.0 - u1));
    const double w = smaller * std::exp(v);
    const double z = u1 * u1 * u2;
    const double r = gamma * v - std::log(4.0);
    const double s = smaller + r - w;
    if (s + 1.0 + std::log(5.0) >= 5.0 * z || s >= std::log(z) || r + sum * std::log(sum / (larger + w)) >= std::log(z)) {
      return a == smaller ? w / (larger + w) : larger / (larger + w);
    }
  }
}

}  // namespace yolodist
