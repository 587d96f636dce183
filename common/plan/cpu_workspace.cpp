// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/plan/cpu_workspace.h"

namespace yolodist::plan {
namespace {

constexpr int64_t any_call_bytes = 12800;
constexpr int64_t strided_bytes_a_thread = 57344;

// LibTorch hands one small picture to its own kernel, which unfolds it.
// Source: pytorch v2.11 aten/src/ATen/native/Convolution.cpp, ConvParams::use_mkldnn.
bool is_unfolded(const ConvCall& call) {
  constexpr int64_t most_elements = 20480, element_bytes = 4;
  return !call.is_half && call.pictures == 1 && call.groups == 1 && call.kernel <= 3 &&
         call.input_bytes / element_bytes <= most_elements;
}

// The unfolded picture: an input patch for each output pixel.
int64_t unfolded_bytes(const ConvCall& call) {
  return call.output_bytes / call.output_channels * (call.weight_bytes / 4 / call.output_channels);
}

}  // namespace

int64_t weight_copy_bytes(const ConvCall& call) {
  // bf16 weights are cast into the order that is wanted.
  return call.kernel > 1 && !call.is_half ? call.weight_bytes : 0;
}

int64_t forward_workspace_bytes(const ConvCall& call) {
  if (is_unfolded(call)) {
    return unfolded_bytes(call);
  }
  return any_call_bytes + call.weight_bytes;
}

int64_t input_gradient_workspace_bytes(const ConvCall& call) {
  if (is_unfolded(call)) {
    return unfolded_bytes(call);
  }
  const int64_t strided =
      call.stride > 1 ? call.threads * (call.input_bytes / call.stride + strided_bytes_a_thread) : 0;
  return any_call_bytes + call.weight_bytes + strided;
}

int64_t weight_gradient_workspace_bytes(const ConvCall& call) {
  if (is_unfolded(call)) {
    return unfolded_bytes(call);
  }
  if (!call.is_half) {
    return 2 * call.weight_bytes;
  }
  // Pictures are transposed a thread, with channels in blocks, and the threads' sums are kept in fp32.
  constexpr int64_t block = 16;
  const int64_t blocked_output_bytes =
      call.output_bytes / call.output_channels * ((call.output_channels + block - 1) / block * block);
  const int64_t transposed = call.threads * (call.input_bytes + blocked_output_bytes) / call.stride;
  // Of large weights each thread has a part, of small ones all.
  constexpr int64_t shared_bytes = 512 << 10;
  const int64_t copies = call.weight_bytes > shared_bytes ? 1 : call.threads;
  const int64_t sums = call.threads > 1 ? copies * 2 * call.weight_bytes : 0;
  return call.weight_bytes + transposed + sums;
}

}  // namespace yolodist::plan
