// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace yolodist::test {

// Why the workspaces of convolutions on this processor are not those that the memory model was measured with;
// "" if they are.
inline std::string other_kernels(bool is_bf16) {
  if (!__builtin_cpu_supports("avx512bw")) {
    return "the workspaces of convolutions were measured with AVX-512; this processor takes other kernels";
  }
  if (is_bf16 && __builtin_cpu_supports("amx-bf16")) {
    return "the workspaces of bf16 convolutions were measured without AMX; this processor takes other kernels";
  }
  return "";
}

}  // namespace yolodist::test
