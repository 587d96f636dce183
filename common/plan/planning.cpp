// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/plan/planning.h"

#include <algorithm>
#include <cmath>

#include "common/base/error.h"

namespace yolodist::plan {
namespace {

// Of the policies, those that need least: which needs least of all differs little with the number of
// pictures.
constexpr size_t least_count = 8;

int64_t fragmentation_bytes(const Device& device, int64_t allocator_bytes) {
  return std::llround(std::ceil(device.overhead.fragmentation * static_cast<double>(allocator_bytes)));
}

}  // namespace

bool is_within(int64_t device_bytes, int64_t budget_bytes) {
  return budget_bytes == 0 || device_bytes <= budget_bytes;
}

Planning::Planning(const Request& request, const Estimator& estimator)
    : request_(request), estimator_(estimator) {
  check(request.spec != nullptr && !request.devices.empty(), "a plan is for a model and some devices");
}

// Of the rank that has most in an even share, or by the request's shard: the groups are shared only after the
// plans are chosen.
int Planning::pictures_an_iteration(int group) const {
  if (!request_.shard.empty()) {
    return *std::max_element(request_.shard.begin(), request_.shard.end());
  }
  const int groups = std::max(1, (request_.global_batch + group - 1) / group);
  const int share = (groups + world_size() - 1) / world_size() * group;
  return std::min(share, std::max(group, request_.global_batch));
}

Workload Planning::workload_of(const Device& device, int pictures) const {
  Workload workload = request_.workload;
  workload.device = device.kind;
  workload.pictures = pictures;
  workload.pictures_an_iteration = pictures_an_iteration(pictures);
  workload.matches = request_.matches_a_picture * pictures;
  workload.world_size = world_size();
  workload.validation_pictures = 0;
  return workload;
}

void Planning::add_overhead(const Device& device, Estimate& estimate) const {
  Terms& terms = estimate.terms;
  if (device.kind == DeviceKind::cuda) {
    terms.context = device.overhead.context_bytes;
    terms.nccl = world_size() > 1 ? device.overhead.nccl_bytes : 0;
    terms.workspace = device.overhead.workspace_bytes;
    terms.fragmentation = fragmentation_bytes(device, estimate.allocator_bytes);
  }
  estimate.device_bytes =
      estimate.allocator_bytes + terms.context + terms.nccl + terms.workspace + terms.fragmentation;
}

const std::vector<Policy>& Planning::policies(const Device& device) {
  std::vector<Policy>& list = policies_[{device.flops_per_s, device.bytes_per_s}];
  if (list.empty()) {
    const Workload workload = workload_of(device, 1);
    const auto uniform = [&](Recompute recompute) {
      return uniform_policy(*request_.spec, workload, estimator_, device, recompute);
    };
    switch (request_.recompute) {
      case RecomputeChoice::none:
        list = {uniform(Recompute::none)};
        break;
      case RecomputeChoice::activations:
        list = {uniform(Recompute::activations)};
        break;
      case RecomputeChoice::blocks:
        list = {uniform(Recompute::block)};
        break;
      case RecomputeChoice::automatic:
        list = policies_of(*request_.spec, workload, estimator_, device);
        break;
    }
  }
  return list;
}

double Planning::uniform_seconds(const Device& device, Recompute recompute) const {
  return uniform_policy(*request_.spec, workload_of(device, 1), estimator_, device, recompute).seconds;
}

const std::vector<Policy>& Planning::least_policies(const Device& device) {
  std::vector<Policy>& list = least_policies_[{device.flops_per_s, device.bytes_per_s}];
  if (list.empty()) {
    list = policies(device);
    std::stable_sort(list.begin(), list.end(), [&](const Policy& a, const Policy& b) {
      return training(device, 1, a.recompute).allocator_bytes <
             training(device, 1, b.recompute).allocator_bytes;
    });
    list.resize(std::min(list.size(), least_count));
  }
  return list;
}

const Estimate& Planning::training(const Device& device, int pictures, const RecomputePlan& recompute) {
  const EstimateKey key{device.kind, pictures, recompute};
  auto found = trainings_.find(key);
  if (found == trainings_.end()) {
    Workload workload = workload_of(device, pictures);
    workload.recompute = recompute;
    found = trainings_.emplace(key, estimator_.estimate(*request_.spec, workload)).first;
  }
  add_overhead(device, found->second);
  return found->second;
}

int64_t Planning::training_bytes_of_device(const Device& device, int pictures,
                                           const RecomputePlan& recompute) {
  return training(device, pictures, recompute).device_bytes;
}

Estimate Planning::whole(const Device& device, int pictures, const RecomputePlan& recompute,
                         int validation_pictures) {
  Workload workload = workload_of(device, pictures);
  workload.recompute = recompute;
  workload.validation_pictures = validation_pictures;
  Estimate estimate = estimator_.estimate(*request_.spec, workload);
  const Estimate& plain =
      training(device, pictures, RecomputePlan(request_.spec->layers.size(), Recompute::none));
  for (size_t layer = 0; layer < estimate.layers.size(); ++layer) {
    estimate.layers[layer].saved_bytes = plain.layers[layer].kept_bytes;
  }
  add_overhead(device, estimate);
  return estimate;
}

Estimate Planning::idle(const Device& device, int validation_pictures) {
  Estimate estimate = whole(device, 1, least_policies(device).front().recompute, validation_pictures);
  Terms& terms = estimate.terms;
  const int64_t state = estimate.state_bytes;
  estimate.training_bytes = state;
  if (estimate.validation_bytes < estimate.allocator_bytes || estimate.validation_bytes < state) {
    // The peak was training's, which this rank does not do.
    terms.input = terms.activations = terms.loss = terms.precision_copies = 0;
    terms.transient = 0;
    terms.transient =
        std::max(int64_t{0}, std::max(state, estimate.validation_bytes) - terms.allocator_bytes());
    estimate.peak_at = estimate.validation_bytes > state ? "validation" : "the optimizer";
  }
  estimate.allocator_bytes = terms.allocator_bytes();
  for (LayerBytes& layer : estimate.layers) {
    layer.kept_bytes = 0;
  }
  add_overhead(device, estimate);
  return estimate;
}

int Planning::largest_slice() const {
  const int batch = request_.validation_batch;
  return (batch + world_size() - 1) / world_size();
}

bool Planning::validates() const {
  return request_.workload.validation_height_px > 0 && request_.validation_batch > 0;
}

int Planning::validation_slice(const Device& device, int64_t most_bytes) {
  if (!validates()) {
    return 0;
  }
  int pictures = largest_slice();
  while (pictures > 1 && most_bytes > 0) {
    const auto [found, is_new] = validations_.try_emplace({device.kind, pictures}, 0);
    if (is_new) {
      found->second = whole(device, 1, least_policies(device).front().recompute, pictures).validation_bytes;
    }
    Estimate estimate;
    estimate.allocator_bytes = found->second;
    add_overhead(device, estimate);
    if (estimate.device_bytes <= most_bytes) {
      break;
    }
    pictures = (pictures + 1) / 2;
  }
  return pictures;
}

Choice Planning::choose(const Device& device, int pictures, int64_t budget_bytes) {
  const Policy* chosen = nullptr;
  for (const Policy& policy : policies(device)) {
    if (is_within(training_bytes_of_device(device, pictures, policy.recompute), budget_bytes)) {
      chosen = &policy;
      break;
    }
  }
  if (chosen == nullptr) {
    const std::vector<Policy>& all = policies(device);
    chosen = &*std::min_element(all.begin(), all.end(), [&](const Policy& a, const Policy& b) {
      return training_bytes_of_device(device, pictures, a.recompute) <
             training_bytes_of_device(device, pictures, b.recompute);
    });
  }
  Choice choice;
  choice.policy = *chosen;
  // Validation may take what training takes anyway, or whatever the budget leaves.
  const int64_t most_bytes =
      budget_bytes == 0
          ? 0
          : std::max(budget_bytes, training_bytes_of_device(device, pictures, chosen->recompute));
  choice.validation_pictures = validation_slice(device, most_bytes);
  choice.estimate = whole(device, pictures, chosen->recompute, choice.validation_pictures);
  choice.fits = is_within(choice.estimate.device_bytes, budget_bytes);
  return choice;
}

int Planning::largest_group(const Device& device) {
  if (device.budget_bytes == 0) {
    return -1;
  }
  const std::vector<Policy>& least = least_policies(device);
  const auto fits = [&](int pictures) {
    return std::any_of(least.begin(), least.end(), [&](const Policy& policy) {
      return training_bytes_of_device(device, pictures, policy.recompute) <= device.budget_bytes;
    });
  };
  if (!fits(1)) {
    return 0;
  }
  // Memory grows almost linearly with pictures: start where the line meets the budget.
  constexpr int other = 9, most = 1 << 20;
  const auto bytes = [&](int pictures) {
    return static_cast<double>(training_bytes_of_device(device, pictures, least.front().recompute));
  };
  const double slope = std::max(1.0, (bytes(other) - bytes(1)) / (other - 1));
  const double guess = 1 + (static_cast<double>(device.budget_bytes) - bytes(1)) / slope;
  int low = 1, high = most;
  int probe = static_cast<int>(std::clamp(guess, 1.0, static_cast<double>(most - 1)));
  for (int step = 1; low + 1 < high; step *= 2) {
    if (fits(probe)) {
      low = std::max(low, probe);
      probe = high == most ? std::min(low + step, high - 1) : low + (high - low) / 2;
    } else {
      high = std::min(high, probe);
      probe = low == 1 ? std::max(high - step, low + 1) : low + (high - low) / 2;
    }
  }
  return low;
}

}  // namespace yolodist::plan
