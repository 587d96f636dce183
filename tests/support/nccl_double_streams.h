// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime_api.h>

#include <functional>
#include <string>
#include <string_view>

// Between the parts of the double.
namespace yolodist::test::nccl_double {

// Counts a call of `function`.
void note_call(std::string_view function);
void note_misuse(const std::string& text);
// Both are counted from zero again.
void forget_calls();

// Runs `task` on the stream's thread, after what it holds. The stream is broken from then on when the task
// does not return cudaSuccess.
void push(cudaStream_t stream, std::function<cudaError_t()> task);

}  // namespace yolodist::test::nccl_double
