// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace yolodist::plan {

// A convolution as the CPU library sees it.
struct ConvCall {
  int64_t weight_bytes = 0;                   // in the precision of the computation
  int64_t input_bytes = 0, output_bytes = 0;  // of one picture
  int64_t output_channels = 1;
  int kernel = 1, stride = 1, groups = 1;
  int pictures = 1;
  int threads = 1;
  bool is_half = false;  // bf16
};

// What oneDNN and LibTorch take from the allocator in passing: weights in the library's own order, a
// transposed copy where the kernel is larger than 1, buffers a thread. Measured allocation by allocation with
// LibTorch 2.11 on AVX-512, channels_last; tools/bench_memory.py shows how far a plan is off where it is
// different.
int64_t weight_copy_bytes(const ConvCall& call);  // during the whole call
int64_t forward_workspace_bytes(const ConvCall& call);
int64_t input_gradient_workspace_bytes(const ConvCall& call);
int64_t weight_gradient_workspace_bytes(const ConvCall& call);  // beside the gradient itself

}  // namespace yolodist::plan
