// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/plan/policies.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>

namespace yolodist::plan {
namespace {

using model_spec::ModelSpec;

// One way to treat a layer, compared with keeping everything.
struct Option {
  Recompute recompute = Recompute::none;
  double saved_bytes = 0;
  double seconds = 0;
};
using LayerOptions = std::vector<Option>;

int64_t kept_bytes(const Estimate& estimate) {
  return std::accumulate(estimate.layers.begin(), estimate.layers.end(), int64_t{0},
                         [](int64_t sum, const LayerBytes& layer) { return sum + layer.kept_bytes; });
}

// What each option saves and costs by itself, with nothing recomputed elsewhere. (Measured with the
// activations of all other layers recomputed instead, the choices get better by less than 1 % of an
// iteration, in twice the time.)
std::vector<LayerOptions> options_of(const ModelSpec& spec, Workload workload, const Estimator& estimator,
                                     const Device& device) {
  const size_t layer_count = spec.layers.size();
  workload.recompute.assign(layer_count, Recompute::none);
  const int64_t kept = kept_bytes(estimator.estimate(spec, workload));
  const double seconds = seconds_of(estimator.work(spec, workload), device);
  std::vector<LayerOptions> options(layer_count);
  for (size_t layer = 0; layer < layer_count; ++layer) {
    options[layer].push_back({});
    for (const Recompute recompute : {Recompute::activations, Recompute::block}) {
      workload.recompute[layer] = recompute;
      const auto saved = static_cast<double>(kept - kept_bytes(estimator.estimate(spec, workload)));
      const double extra = seconds_of(estimator.work(spec, workload), device) - seconds;
      if (saved > options[layer].back().saved_bytes) {
        options[layer].push_back({recompute, saved, std::max(extra, 0.0)});
      }
    }
    workload.recompute[layer] = Recompute::none;
  }
  return options;
}

// For each number of units up to `units`, the cheapest choice that saves at least so many.
class Knapsack {
 public:
  Knapsack(const std::vector<LayerOptions>& options, double unit_bytes, int units) : options_(options) {
    const auto size = static_cast<size_t>(units) + 1;
    std::vector<double> best(size, std::numeric_limits<double>::infinity());
    best[0] = 0;
    for (const LayerOptions& layer : options) {
      std::vector<double> next(size, std::numeric_limits<double>::infinity());
      std::vector<Step> steps(size);
      for (size_t wanted = 0; wanted < size; ++wanted) {
        for (size_t i = 0; i < layer.size(); ++i) {
          const auto saved = static_cast<size_t>(layer[i].saved_bytes / unit_bytes);
          const size_t rest = wanted - std::min(wanted, saved);
          if (best[rest] + layer[i].seconds < next[wanted]) {
            next[wanted] = best[rest] + layer[i].seconds;
            steps[wanted] = {static_cast<uint8_t>(i), static_cast<int>(rest)};
          }
        }
      }
      best = std::move(next);
      steps_.push_back(std::move(steps));
    }
    best_ = std::move(best);
  }

  bool can_save(int units) const { return std::isfinite(best_[static_cast<size_t>(units)]); }

  RecomputePlan choice(int units) const {
    RecomputePlan plan(options_.size(), Recompute::none);
    for (size_t layer = options_.size(); layer-- > 0;) {
      const Step& step = steps_[layer][static_cast<size_t>(units)];
      plan[layer] = options_[layer][step.option].recompute;
      units = step.rest;
    }
    return plan;
  }

 private:
  struct Step {
    uint8_t option = 0;
    int rest = 0;
  };
  const std::vector<LayerOptions>& options_;
  std::vector<double> best_;
  std::vector<std::vector<Step>> steps_;
};

constexpr int unit_count = 2048;

// Adds the cheapest choices for `count` amounts, evenly from the share `from` of what can be saved to all of
// it.
void add_choices(const std::vector<LayerOptions>& options, double from, int count,
                 std::set<RecomputePlan>& plans) {
  double most_bytes = 0;
  for (const LayerOptions& layer : options) {
    most_bytes += layer.back().saved_bytes;
  }
  if (most_bytes <= 0) {
    return;
  }
  const Knapsack knapsack(options, most_bytes / unit_count, unit_count);
  for (int i = 1; i <= count; ++i) {
    // Savings are rounded down to units, so the last few cannot be reached.
    int units = static_cast<int>(std::lround(unit_count * (from + (1 - from) * i / count)));
    while (units > 0 && !knapsack.can_save(units)) {
      --units;
    }
    plans.insert(knapsack.choice(units));
  }
}

// What runs again in one piece is whole in memory for a moment: where that moment is the peak, a layer is
// better off with its activations recomputed alone. So the largest blocks are left out, one after the other.
void add_choices_without_largest_blocks(std::vector<LayerOptions> options, std::set<RecomputePlan>& plans) {
  constexpr int largest_blocks = 4, amounts = 10;
  constexpr double from = 0.4;
  for (int i = 0; i < largest_blocks; ++i) {
    LayerOptions* largest = nullptr;
    for (LayerOptions& layer : options) {
      if (layer.back().recompute == Recompute::block &&
          (largest == nullptr || layer.back().saved_bytes > largest->back().saved_bytes)) {
        largest = &layer;
      }
    }
    if (largest == nullptr) {
      return;
    }
    largest->pop_back();
    add_choices(options, from, amounts, plans);
  }
}

}  // namespace

double seconds_of(const Work& work, const Device& device) {
  return (3 * work.forward_flops + work.recomputed_flops) / device.flops_per_s +
         (work.elementwise_bytes + work.recomputed_elementwise_bytes) / device.bytes_per_s;
}

Policy uniform_policy(const ModelSpec& spec, const Workload& workload, const Estimator& estimator,
                      const Device& device, Recompute recompute) {
  Workload one = workload;
  one.pictures = 1;
  one.recompute.assign(spec.layers.size(), recompute);
  return {one.recompute, seconds_of(estimator.work(spec, one), device)};
}

std::vector<Policy> policies_of(const ModelSpec& spec, const Workload& workload, const Estimator& estimator,
                                const Device& device) {
  Workload one = workload;
  one.pictures = 1;
  one.validation_pictures = 0;
  std::set<RecomputePlan> plans;
  for (const Recompute recompute : {Recompute::none, Recompute::activations, Recompute::block}) {
    plans.insert(RecomputePlan(spec.layers.size(), recompute));
  }
  const std::vector<LayerOptions> options = options_of(spec, one, estimator, device);
  constexpr int amounts = 48;
  add_choices(options, 0, amounts, plans);
  add_choices_without_largest_blocks(options, plans);
  std::vector<Policy> policies;
  for (const RecomputePlan& plan : plans) {
    one.recompute = plan;
    policies.push_back({plan, seconds_of(estimator.work(spec, one), device)});
  }
  std::stable_sort(policies.begin(), policies.end(),
                   [](const Policy& a, const Policy& b) { return a.seconds < b.seconds; });
  return policies;
}

}  // namespace yolodist::plan
