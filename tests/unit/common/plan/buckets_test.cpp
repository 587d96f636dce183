// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/plan/buckets.h"

#include <gmock/gmock.h>

namespace yolodist::plan {
namespace {

using testing::ElementsAre;

constexpr size_t mebibyte = size_t{1} << 20;

TEST(Buckets, FillFromTheLastParameterToTheFirst) {
  const std::vector<int64_t> counts = {16, 80, 30, 40, 50};
  const std::vector<Bucket> buckets = buckets_of(counts, 4, 1, 400);
  ASSERT_EQ(buckets.size(), 3u);
  EXPECT_THAT(buckets[0].parameters, ElementsAre(4u, 3u));
  EXPECT_THAT(buckets[1].parameters, ElementsAre(2u)) << "with the next, 440 bytes";
  EXPECT_THAT(buckets[2].parameters, ElementsAre(1u, 0u));
}

TEST(Buckets, TakeAParameterThatIsLargerThanThemAlone) {
  const std::vector<int64_t> counts = {10, 1000, 10};
  const std::vector<Bucket> buckets = buckets_of(counts, 4, 1, 400);
  ASSERT_EQ(buckets.size(), 3u);
  EXPECT_THAT(buckets[1].parameters, ElementsAre(1u));
  EXPECT_EQ(buckets[1].element_count, 1008);
}

TEST(Buckets, HoldEveryParameterOnceAndWholeCacheLinesForEveryRank) {
  std::vector<int64_t> counts;
  for (int64_t i = 0; i < 200; ++i) {
    counts.push_back(1 + i * i % 977);
  }
  for (const int64_t element_bytes : {4, 8}) {
    for (const int world_size : {1, 2, 3, 8}) {
      for (const size_t bucket_bytes : {size_t{1}, size_t{5000}, size_t{1} << 30}) {
        size_t next = counts.size();
        for (const Bucket& bucket : buckets_of(counts, element_bytes, world_size, bucket_bytes)) {
          int64_t filled = 0;
          for (const size_t parameter : bucket.parameters) {
            EXPECT_EQ(parameter, --next);
            filled += counts[parameter];
          }
          const int64_t line = 64 / element_bytes * world_size;
          EXPECT_EQ(bucket.element_count % line, 0);
          EXPECT_GE(bucket.element_count, filled);
          EXPECT_LT(bucket.element_count, filled + line);
          EXPECT_TRUE(bucket.parameters.size() == 1 ||
                      static_cast<size_t>(filled * element_bytes) <= bucket_bytes);
        }
        EXPECT_EQ(next, 0u);
      }
    }
  }
}

TEST(Buckets, AreAnEighthOfTheGradientsWithinLimits) {
  EXPECT_EQ(default_bucket_bytes(0), mebibyte);
  EXPECT_EQ(default_bucket_bytes(7 * mebibyte), mebibyte);
  EXPECT_EQ(default_bucket_bytes(80 * mebibyte), 10 * mebibyte);
  EXPECT_EQ(default_bucket_bytes(560 * mebibyte), 25 * mebibyte);
  EXPECT_TRUE(buckets_of({}, 4, 2, mebibyte).empty());
}

}  // namespace
}  // namespace yolodist::plan
