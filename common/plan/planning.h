// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <tuple>
#include <vector>

#include "common/plan/estimator.h"
#include "common/plan/policies.h"

namespace yolodist::plan {

// What a rank of some kind would do, and what that needs.
struct Choice {
  Policy policy;
  Estimate estimate;
  int validation_pictures = 0;
  bool fits = false;
};

// The questions that make_plan and next_plan ask of one request, with the answers kept: the same workload is
// estimated once.
class Planning {
 public:
  Planning(const Request& request, const Estimator& estimator);

  const Request& request() const { return request_; }
  const Estimator& estimator() const { return estimator_; }
  int world_size() const { return static_cast<int>(request_.devices.size()); }

  // What the request allows on such a device, fastest first.
  const std::vector<Policy>& policies(const Device& device);
  // Those that need least, by one picture: enough to tell whether anything fits.
  const std::vector<Policy>& least_policies(const Device& device);

  // Of one picture with the same policy for every layer.
  double uniform_seconds(const Device& device, Recompute recompute) const;

  // Of a group of so many pictures, without and with validation; device_bytes with the device's overhead.
  const Estimate& training(const Device& device, int pictures, const RecomputePlan& recompute);
  Estimate whole(const Device& device, int pictures, const RecomputePlan& recompute, int validation_pictures);
  // Of a rank that has no group: what lives as long as the run, and validation.
  Estimate idle(const Device& device, int validation_pictures);

  // The fastest that `budget_bytes` of the device (0 = none) has room for; where nothing fits, what needs
  // least.
  Choice choose(const Device& device, int pictures, int64_t budget_bytes);
  // The largest slice of a validation group that stays within `most_bytes` of the device; at least 1.
  int validation_slice(const Device& device, int64_t most_bytes);
  int largest_slice() const;
  bool validates() const;

  int largest_group(const Device& device);

 private:
  Workload workload_of(const Device& device, int pictures) const;
  int pictures_an_iteration(int group) const;
  void add_overhead(const Device& device, Estimate& estimate) const;
  int64_t training_bytes_of_device(const Device& device, int pictures, const RecomputePlan& recompute);

  const Request& request_;
  const Estimator& estimator_;
  // By the device's rates; by its kind and overhead.
  std::map<std::pair<double, double>, std::vector<Policy>> policies_, least_policies_;
  using EstimateKey = std::tuple<DeviceKind, int, RecomputePlan>;
  std::map<EstimateKey, Estimate> trainings_;
  std::map<std::pair<DeviceKind, int>, int64_t> validations_;  // allocator bytes by pictures
};

bool is_within(int64_t device_bytes, int64_t budget_bytes);

}  // namespace yolodist::plan
