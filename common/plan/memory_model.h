// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/model_spec/model_spec.h"
#include "common/plan/recompute.h"

namespace yolodist::plan {

enum class DeviceKind { cpu, cuda };
enum class Precision { fp32, fp64, fp16, bf16 };

// What one rank has to hold at once. All of it is known before anything runs.
struct Workload {
  DeviceKind device = DeviceKind::cpu;
  Precision precision = Precision::fp32;
  int height_px = 640, width_px = 640;  // of the network's input at its largest (multi-scale included)
  int imgsz_px = 640;                   // of the data before multi-scale
  int pictures_an_iteration = 0;        // of this rank, all groups; counted on cards, which take them ahead
  int pictures = 1;                     // of a BN group: what one forward takes
  int loss_slab_count =
      5;  // pieces of 512 KiB that the loss takes at once at most; 12 with focal loss or weights
  int64_t matches = 0;  // anchors and cells that answer for targets, of the densest group and all levels
  int optimizer_state_count = 1;  // tensors a parameter: SGD 1, Adam and AdamW 2
  int world_size = 1;
  int threads = 1;           // compute threads: on the CPU each has buffers of its own
  std::vector<bool> frozen;  // by layer; empty = none
  bool freezes_bn = false;
  RecomputePlan recompute;
  int validation_pictures = 0;  // of a slice; 0 = no validation
  int validation_height_px = 0, validation_width_px = 0;
};

// Bytes at the moment of the peak, by what holds them.
struct Terms {
  int64_t parameters = 0, gradients = 0, optimizer = 0, ema = 0;
  int64_t precision_copies = 0;  // of the weights, below fp32
  int64_t buffers = 0;           // running statistics, records of a group's statistics
  int64_t input = 0;             // the group's pictures as the network takes them
  int64_t activations = 0;       // kept for backward
  int64_t loss = 0;
  int64_t transient = 0;  // gradients of activations, what is computed again, workspace of single operations
  // Outside of the allocator: on CUDA only.
  int64_t context = 0, nccl = 0, workspace = 0, fragmentation = 0;

  int64_t allocator_bytes() const {
    return parameters + gradients + optimizer + ema + precision_copies + buffers + input + activations +
           loss + transient;
  }
  int64_t device_bytes() const { return allocator_bytes() + context + nccl + workspace + fragmentation; }
};

struct LayerBytes {
  int index = 0;
  int64_t saved_bytes = 0;  // that Recompute::none keeps for backward
  int64_t kept_bytes = 0;   // that the plan keeps
};

struct Estimate {
  int64_t allocator_bytes = 0;  // the highest that the allocator holds, over training and validation
  int64_t device_bytes = 0;     // with what lies outside of it
  int64_t state_bytes = 0;      // between two steps: parameters, gradients, optimizer, EMA, statistics
  int64_t training_bytes = 0, validation_bytes = 0;  // of the allocator, each by itself
  Terms terms;                                       // at the peak
  std::string peak_at;                               // "backward of model.9", "validation"
  std::vector<LayerBytes> layers;
};

// Follows the allocations of one iteration, one optimizer step and one validation slice through the layer
// table, tensor by tensor, with the allocator's rounding. Takes well under a millisecond a call.
Estimate estimate(const model_spec::ModelSpec& spec, const Workload& workload);

// Floating point operations of one forward over `pictures`, of the whole model and of what a plan computes
// again in backward; and bytes moved by the elementwise work that is computed again.
struct Work {
  double forward_flops = 0, recomputed_flops = 0;
  double elementwise_bytes = 0, recomputed_elementwise_bytes = 0;
};
Work work_of(const model_spec::ModelSpec& spec, const Workload& workload);

}  // namespace yolodist::plan
