// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
// That these amounts are what LibTorch takes is measured in tests/unit/worker/train.
#include "common/plan/cpu_workspace.h"

#include <gtest/gtest.h>

namespace yolodist::plan {
namespace {

// A convolution over `side`² pixels.
ConvCall call_of(int channels_in, int channels_out, int kernel, int side, int pictures) {
  return {.weight_bytes = int64_t{4} * channels_out * channels_in * kernel * kernel,
          .input_bytes = int64_t{4} * channels_in * side * side,
          .output_bytes = int64_t{4} * channels_out * side * side,
          .output_channels = channels_out,
          .kernel = kernel,
          .pictures = pictures};
}

TEST(CpuWorkspace, CopiesWeightsOfKernelsAboveOne) {
  EXPECT_EQ(weight_copy_bytes(call_of(64, 128, 1, 80, 2)), 0);
  EXPECT_EQ(weight_copy_bytes(call_of(64, 128, 3, 80, 2)), 4 * 64 * 128 * 9);
}

TEST(CpuWorkspace, HoldsTheWeightsAtLeast) {
  const ConvCall call = call_of(64, 128, 3, 80, 2);
  EXPECT_GE(forward_workspace_bytes(call), call.weight_bytes);
  EXPECT_GE(input_gradient_workspace_bytes(call), call.weight_bytes);
  EXPECT_GE(weight_gradient_workspace_bytes(call), call.weight_bytes);
}

TEST(CpuWorkspace, DoesNotGrowWithPictures) {
  const ConvCall two = call_of(64, 128, 3, 80, 2), many = call_of(64, 128, 3, 80, 32);
  EXPECT_EQ(forward_workspace_bytes(two), forward_workspace_bytes(many));
  EXPECT_EQ(input_gradient_workspace_bytes(two), input_gradient_workspace_bytes(many));
  EXPECT_EQ(weight_gradient_workspace_bytes(two), weight_gradient_workspace_bytes(many));
}

// 128 channels of 12 x 12 px: an input patch of 3 x 3 px for each of 144 output pixels.
TEST(CpuWorkspace, UnfoldsASinglePictureThatIsSmall) {
  const ConvCall small = call_of(128, 64, 3, 12, 1);
  const int64_t patches = int64_t{4} * 144 * 128 * 9;
  EXPECT_EQ(forward_workspace_bytes(small), patches);
  EXPECT_EQ(input_gradient_workspace_bytes(small), patches);
  EXPECT_EQ(weight_gradient_workspace_bytes(small), patches);
}

TEST(CpuWorkspace, UnfoldsNothingElse) {
  ConvCall half = call_of(128, 64, 3, 12, 1), grouped = half;
  half.is_half = true;
  grouped.groups = 2;
  for (const ConvCall& call :
       {call_of(128, 64, 3, 12, 2), call_of(128, 64, 3, 13, 1), call_of(16, 64, 5, 12, 1), half, grouped}) {
    EXPECT_GE(forward_workspace_bytes(call), call.weight_bytes);
    EXPECT_LT(forward_workspace_bytes(call), call.weight_bytes + 65536);
  }
}

TEST(CpuWorkspace, GrowsWithThreadsWhereEachHasItsOwn) {
  ConvCall one = call_of(64, 128, 3, 80, 2);
  one.stride = 2;
  ConvCall four = one;
  four.threads = 4;
  EXPECT_EQ(forward_workspace_bytes(one), forward_workspace_bytes(four));
  EXPECT_GT(input_gradient_workspace_bytes(four), 2 * input_gradient_workspace_bytes(one));
  EXPECT_EQ(weight_gradient_workspace_bytes(one), weight_gradient_workspace_bytes(four));
  one.is_half = four.is_half = true;
  EXPECT_GT(weight_gradient_workspace_bytes(four), 3 * weight_gradient_workspace_bytes(one) / 2);
}

}  // namespace
}  // namespace yolodist::plan
