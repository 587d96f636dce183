// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/tensors.h"

namespace yolodist::test {

inline at::Tensor random_map(uint32_t seed, const std::vector<int64_t>& shape,
                             at::ScalarType dtype = at::kDouble, double low = -1, double high = 1) {
  return random_tensor(seed, shape, dtype, low, high).contiguous(at::MemoryFormat::ChannelsLast);
}

inline void expect_same_bits(const at::Tensor& found, const at::Tensor& expected, const std::string& what) {
  ASSERT_EQ(found.defined(), expected.defined()) << what;
  if (found.defined()) {
    ASSERT_EQ(found.scalar_type(), expected.scalar_type()) << what;
    ASSERT_EQ(found.sizes().vec(), expected.sizes().vec()) << what;
    EXPECT_TRUE(found.equal(expected)) << what;
  }
}

// |found - expected| <= tolerance * |expected|, as norms.
inline void expect_close(const at::Tensor& found, const at::Tensor& expected, double tolerance,
                         const std::string& what) {
  ASSERT_TRUE(found.defined() && expected.defined()) << what;
  ASSERT_EQ(found.sizes().vec(), expected.sizes().vec()) << what;
  const std::vector<double> a = values_of(found), b = values_of(expected);
  double difference = 0, norm = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    norm += b[i] * b[i];
  }
  EXPECT_GT(norm, 0) << what;
  EXPECT_LE(difference, tolerance * tolerance * norm) << what;
}

}  // namespace yolodist::test
