// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/data/kmean_anchors.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <numeric>
#include <utility>

#include "common/base/error.h"
#include "common/base/philox.h"

namespace yolodist::data {
namespace {

// Labels are gone through in blocks whose inner loops the compiler turns into vector instructions.
constexpr size_t block_size = 256;

// Source: ultralytics/yolov5 v7.0 utils/autoanchor.py, kmean_anchors, and SciPy's defaults there.
constexpr float smallest_side_px = 2;
constexpr int restart_count = 30;
constexpr double settled_change = 1e-5;  // of the mean distance, in deviations
constexpr double mutation_probability = 0.9, mutation_sigma = 0.1;
constexpr double smallest_factor = 0.3, largest_factor = 3.0;

// Coordinates apart, as the blocks want them.
struct Points {
  std::vector<float> x, y;
  size_t size() const { return x.size(); }
};

struct Clustering {
  std::vector<std::array<double, 2>> centres;
  double mean_distance = std::numeric_limits<double>::infinity();
};

// Sums of the points nearest to each centre.
struct Tally {
  std::vector<std::array<double, 2>> sums;
  std::vector<int64_t> counts;
  double distance_sum = 0;
};

Tally nearest_centres(const Points& points, const std::vector<std::array<double, 2>>& centres) {
  Tally tally{std::vector<std::array<double, 2>>(centres.size()), std::vector<int64_t>(centres.size()), 0};
  std::array<float, block_size> nearest{};
  std::array<int32_t, block_size> centre_of{};
  for (size_t first = 0; first < points.size(); first += block_size) {
    const size_t count = std::min(block_size, points.size() - first);
    const float* x = points.x.data() + first;
    const float* y = points.y.data() + first;
    nearest.fill(std::numeric_limits<float>::infinity());
    for (size_t c = 0; c < centres.size(); ++c) {
      const auto cx = static_cast<float>(centres[c][0]), cy = static_cast<float>(centres[c][1]);
      const auto number = static_cast<int32_t>(c);
      for (size_t i = 0; i < count; ++i) {
        const float dx = x[i] - cx, dy = y[i] - cy, distance = dx * dx + dy * dy;
        centre_of[i] = distance < nearest[i] ? number : centre_of[i];
        nearest[i] = std::min(distance, nearest[i]);
      }
    }
    for (size_t i = 0; i < count; ++i) {
      const auto c = static_cast<size_t>(centre_of[i]);
      tally.sums[c][0] += x[i];
      tally.sums[c][1] += y[i];
      ++tally.counts[c];
      tally.distance_sum += std::sqrt(nearest[i]);
    }
  }
  return tally;
}

// One run from `count` different points to where the mean distance settles. Centres that lose all their
// points are dropped.
Clustering settled(const Points& points, size_t count, Draws64& draws) {
  std::vector<size_t> order(points.size());
  std::iota(order.begin(), order.end(), size_t{0});
  Clustering clustering;
  for (size_t i = 0; i < count; ++i) {
    std::swap(order[i], order[i + draws.below(static_cast<uint32_t>(order.size() - i))]);
    clustering.centres.push_back({points.x[order[i]], points.y[order[i]]});
  }
  double change = std::numeric_limits<double>::infinity();
  while (change > settled_change) {
    const Tally tally = nearest_centres(points, clustering.centres);
    const double mean = tally.distance_sum / static_cast<double>(points.size());
    change = std::abs(clustering.mean_distance - mean);
    clustering.mean_distance = mean;
    clustering.centres.clear();
    for (size_t c = 0; c < tally.counts.size(); ++c) {
      if (tally.counts[c] > 0) {
        const auto members = static_cast<double>(tally.counts[c]);
        clustering.centres.push_back({tally.sums[c][0] / members, tally.sums[c][1] / members});
      }
    }
  }
  return clustering;
}

double deviation(std::span<const float> values) {
  const auto count = static_cast<double>(values.size());
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / count;
  double squares = 0;
  for (const float value : values) {
    squares += (value - mean) * (value - mean);
  }
  return std::sqrt(squares / count);
}

// The best of several runs on sides measured in their deviations; fewer than `count` anchors where the labels
// do not have that many groups.
std::vector<Anchor> clustered(std::span<const LabelSides> sides, size_t count, int64_t seed) {
  if (sides.size() < count) {
    return {};
  }
  Points points;
  for (const LabelSides& label : sides) {
    points.x.push_back(label.w);
    points.y.push_back(label.h);
  }
  const double unit_w = deviation(points.x), unit_h = deviation(points.y);
  if (!(unit_w > 0) || !(unit_h > 0)) {
    return {};
  }
  for (size_t i = 0; i < points.size(); ++i) {
    points.x[i] = static_cast<float>(points.x[i] / unit_w);
    points.y[i] = static_cast<float>(points.y[i] / unit_h);
  }
  Draws64 draws(static_cast<uint64_t>(seed), RandomStream::anchors, 1);
  Clustering best;
  for (int restart = 0; restart < restart_count; ++restart) {
    Clustering one = settled(points, count, draws);
    if (one.mean_distance < best.mean_distance) {
      best = std::move(one);
    }
  }
  std::vector<Anchor> anchors;
  for (const auto& [x, y] : best.centres) {
    anchors.push_back({x * unit_w, y * unit_h});
  }
  return anchors;
}

// Where clustering fails: sides at random, all numbers ascending.
std::vector<Anchor> random_anchors(size_t count, int imgsz_px, int64_t seed) {
  Draws64 draws(static_cast<uint64_t>(seed), RandomStream::anchors, 1);
  std::vector<double> numbers(2 * count);
  for (double& number : numbers) {
    number = draws.uniform() * imgsz_px;
  }
  std::sort(numbers.begin(), numbers.end());
  std::vector<Anchor> anchors;
  for (size_t i = 0; i < count; ++i) {
    anchors.push_back({numbers[2 * i], numbers[2 * i + 1]});
  }
  return anchors;
}

// Labels ready for many fitness sums: a division is a multiplication by the inverse here.
class FitnessMeter {
 public:
  FitnessMeter(std::span<const LabelSides> sides, double anchor_t)
      : threshold_(static_cast<float>(1 / anchor_t)) {
    for (const LabelSides& label : sides) {
      w_.push_back(label.w);
      h_.push_back(label.h);
      inverse_w_.push_back(1 / label.w);
      inverse_h_.push_back(1 / label.h);
    }
  }

  double measured(std::span<const Anchor> anchors) const {
    double sum = 0;
    std::array<float, block_size> best{};
    for (size_t first = 0; first < w_.size(); first += block_size) {
      const size_t count = std::min(block_size, w_.size() - first);
      best.fill(0);
      for (const Anchor& anchor : anchors) {
        raise(best.data(), first, count, anchor);
      }
      for (size_t i = 0; i < count; ++i) {
        sum += best[i] > threshold_ ? best[i] : 0.0f;
      }
    }
    return w_.empty() ? 0 : sum / static_cast<double>(w_.size());
  }

 private:
  void raise(float* best, size_t first, size_t count, const Anchor& anchor) const {
    const auto aw = static_cast<float>(anchor[0]), ah = static_cast<float>(anchor[1]);
    const float inverse_aw = 1 / aw, inverse_ah = 1 / ah;
    const float* w = w_.data() + first;
    const float* h = h_.data() + first;
    const float* inverse_w = inverse_w_.data() + first;
    const float* inverse_h = inverse_h_.data() + first;
    for (size_t i = 0; i < count; ++i) {
      const float rw = std::min(w[i] * inverse_aw, aw * inverse_w[i]);
      const float rh = std::min(h[i] * inverse_ah, ah * inverse_h[i]);
      best[i] = std::max(best[i], std::min(rw, rh));
    }
  }

  std::vector<float> w_, h_, inverse_w_, inverse_h_;
  float threshold_;
};

// One factor a number, not all of them 1.
std::vector<double> mutation(Draws64& draws, size_t count) {
  std::vector<double> factors(count, 1.0);
  while (std::all_of(factors.begin(), factors.end(), [](double factor) { return factor == 1.0; })) {
    const double strength = draws.uniform() * mutation_sigma;
    for (double& factor : factors) {
      const bool is_mutated = draws.uniform() < mutation_probability;
      const double step = draws.normal() * strength;
      factor = std::clamp(is_mutated ? 1 + step : 1.0, smallest_factor, largest_factor);
    }
  }
  return factors;
}

void evolve(std::vector<Anchor>& anchors, const FitnessMeter& meter, int generations, int64_t seed) {
  Draws64 draws(static_cast<uint64_t>(seed), RandomStream::anchors, 2);
  double best = meter.measured(anchors);
  std::vector<Anchor> candidate = anchors;
  for (int generation = 0; generation < generations; ++generation) {
    const std::vector<double> factors = mutation(draws, 2 * anchors.size());
    for (size_t i = 0; i < anchors.size(); ++i) {
      for (size_t side = 0; side < 2; ++side) {
        candidate[i][side] = std::max<double>(anchors[i][side] * factors[2 * i + side], smallest_side_px);
      }
    }
    const double fitness = meter.measured(candidate);
    if (fitness > best) {
      best = fitness;
      anchors = candidate;
    }
  }
}

}  // namespace

double anchor_fitness(std::span<const LabelSides> sides, std::span<const Anchor> anchors, double anchor_t) {
  return FitnessMeter(sides, anchor_t).measured(anchors);
}

std::vector<Anchor> kmean_anchors(std::span<const LabelSides> sides, int count, int imgsz_px, double anchor_t,
                                  int64_t seed, int generations) {
  check(count > 0 && anchor_t > 0, "kmean_anchors: a number of anchors and a ratio");
  std::vector<LabelSides> usable;
  std::copy_if(sides.begin(), sides.end(), std::back_inserter(usable), [](const LabelSides& label) {
    return label.w >= smallest_side_px || label.h >= smallest_side_px;
  });
  std::vector<Anchor> anchors = clustered(usable, static_cast<size_t>(count), seed);
  if (anchors.size() != static_cast<size_t>(count)) {
    anchors = random_anchors(static_cast<size_t>(count), imgsz_px, seed);
  }
  evolve(anchors, FitnessMeter(usable, anchor_t), generations, seed);
  std::stable_sort(anchors.begin(), anchors.end(),
                   [](const Anchor& a, const Anchor& b) { return a[0] * a[1] < b[0] * b[1]; });
  for (Anchor& anchor : anchors) {  // the model keeps fp32
    anchor = {static_cast<float>(anchor[0]), static_cast<float>(anchor[1])};
  }
  return anchors;
}

}  // namespace yolodist::data
