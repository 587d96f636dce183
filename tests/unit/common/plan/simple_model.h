// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <vector>

#include "common/plan/estimator.h"

// A model whose memory can be worked out by hand, in place of the memory model.
namespace yolodist::plan::test {

// Bytes and seconds of a layer for one picture.
struct SimpleLayer {
  int64_t bytes = 0;                               // kept without recompute
  int64_t activations_bytes = 0, block_bytes = 0;  // kept with each
  int64_t moment_bytes = 0;                        // that running the block again takes for a moment
  double seconds = 1, activations_seconds = 0, block_seconds = 0;
};

struct SimpleModel {
  std::vector<SimpleLayer> layers;
  int64_t state_bytes = 100;
  int64_t validation_bytes_a_picture = 5;

  model_spec::ModelSpec spec() const {
    model_spec::ModelSpec spec;
    spec.name = "simple";
    spec.strides_px = {8, 16, 32};
    spec.anchors_px.assign(3, {{10, 10}, {20, 20}, {30, 30}});
    spec.layers.resize(layers.size());
    for (size_t i = 0; i < layers.size(); ++i) {
      spec.layers[i].index = static_cast<int>(i);
      spec.layers[i].block = "C3";
      spec.layers[i].c_out = 8;
    }
    return spec;
  }

  // Seconds are flops at a rate of 1 a second; forward counts three times.
  Estimator estimator() const {
    Estimator estimator;
    estimator.estimate = [model = *this](const model_spec::ModelSpec&, const Workload& w) {
      return model.estimate(w);
    };
    estimator.work = [model = *this](const model_spec::ModelSpec&, const Workload& w) {
      return model.work(w);
    };
    return estimator;
  }

  static Recompute policy(const Workload& w, size_t layer) {
    return w.recompute.empty() ? Recompute::none : w.recompute[layer];
  }

  Estimate estimate(const Workload& w) const {
    Estimate estimate;
    int64_t kept = 0, peak = 0;
    // A block that runs again needs what the layers before it keep, and its moment.
    for (size_t i = 0; i < layers.size(); ++i) {
      const Recompute recompute = policy(w, i);
      const int64_t bytes = (recompute == Recompute::none          ? layers[i].bytes
                             : recompute == Recompute::activations ? layers[i].activations_bytes
                                                                   : layers[i].block_bytes) *
                            w.pictures * side_factor(w);
      kept += bytes;
      estimate.layers.push_back({static_cast<int>(i), 0, bytes});
      if (recompute == Recompute::block) {
        peak = std::max(peak, kept + layers[i].moment_bytes * w.pictures);
      }
    }
    peak = std::max(peak, kept);
    if (w.precision == Precision::fp16 || w.precision == Precision::bf16) {
      peak /= 2;
    }
    estimate.state_bytes = state_bytes;
    estimate.terms.optimizer = state_bytes / 2;
    estimate.terms.parameters = state_bytes - state_bytes / 2;
    estimate.terms.activations = peak;
    estimate.training_bytes = state_bytes + peak;
    if (w.validation_pictures > 0) {
      estimate.validation_bytes = state_bytes + validation_bytes_a_picture * w.validation_pictures;
    }
    estimate.allocator_bytes = std::max(estimate.training_bytes, estimate.validation_bytes);
    estimate.terms.transient = estimate.allocator_bytes - estimate.training_bytes;
    estimate.device_bytes = estimate.allocator_bytes;
    estimate.peak_at = "the loss";
    return estimate;
  }

  Work work(const Workload& w) const {
    Work work;
    for (size_t i = 0; i < layers.size(); ++i) {
      const Recompute recompute = policy(w, i);
      work.forward_flops += layers[i].seconds / 3 * w.pictures;
      work.recomputed_flops += (recompute == Recompute::none          ? 0
                                : recompute == Recompute::activations ? layers[i].activations_seconds
                                                                      : layers[i].block_seconds) *
                               w.pictures;
    }
    return work;
  }

  // 640 px are the size that the bytes are for.
  static int64_t side_factor(const Workload& w) {
    return std::max<int64_t>(1, int64_t{w.height_px} * w.width_px / (640 * 640));
  }
};

// Four layers: 40 + 30 + 20 + 10 = 100 bytes a picture, 50 with activations, 20 with blocks.
inline SimpleModel four_layers() {
  SimpleModel model;
  model.layers = {{40, 20, 8, 10, 1.0, 0.04, 0.30},
                  {30, 15, 6, 8, 1.0, 0.04, 0.30},
                  {20, 10, 4, 6, 1.0, 0.04, 0.30},
                  {10, 5, 2, 4, 1.0, 0.04, 0.30}};
  return model;
}

inline Device simple_device(int64_t budget_bytes, double speed = 1) {
  Device device;
  device.card = "simple";
  device.budget_bytes = budget_bytes;
  device.flops_per_s = speed;
  device.bytes_per_s = speed;
  return device;
}

inline Request simple_request(const model_spec::ModelSpec& spec, int batch, std::vector<Device> devices) {
  Request request;
  request.spec = &spec;
  request.global_batch = batch;
  request.devices = std::move(devices);
  return request;
}

inline int64_t peak(const Plan& plan, size_t rank = 0) {
  return plan.ranks[rank].estimate.allocator_bytes;
}

}  // namespace yolodist::plan::test
