// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/data/multi_scale.h"

#include <set>

#include <gtest/gtest.h>

#include "worker/data/rect_shapes.h"

namespace yolodist::data {
namespace {

TEST(MultiScaleSide, MeetsEverySideFromHalfToOneAndAHalf) {
  std::set<int> sides;
  for (int batch = 0; batch < 2000; ++batch) {
    const int side = multi_scale_side(1, 2, batch, 640, 32);
    EXPECT_EQ(side % 32, 0);
    sides.insert(side);
  }
  EXPECT_EQ(*sides.begin(), 320);
  EXPECT_EQ(*sides.rbegin(), 960);
  EXPECT_EQ(sides.size(), 21u);
}

TEST(MultiScaleSide, IsAFunctionOfSeedEpochAndBatch) {
  std::set<std::vector<int>> rows;
  for (const auto& [seed, epoch] : {std::pair{1, 2}, std::pair{1, 3}, std::pair{2, 2}, std::pair{1, 2}}) {
    std::vector<int> row;
    for (int batch = 0; batch < 20; ++batch) {
      row.push_back(multi_scale_side(seed, epoch, batch, 1280, 64));
    }
    rows.insert(row);
  }
  EXPECT_EQ(rows.size(), 3u);
}

TEST(ScaledShape, KeepsTheProportionsInWholeStrides) {
  EXPECT_EQ(scaled_shape({640, 640}, 640, 32), (Shape{640, 640}));
  EXPECT_EQ(scaled_shape({640, 640}, 320, 32), (Shape{320, 320}));
  EXPECT_EQ(scaled_shape({448, 640}, 960, 32), (Shape{672, 960}));
  EXPECT_EQ(scaled_shape({384, 640}, 352, 32), (Shape{224, 352}));  // 211.2 up to 7 strides
}

TEST(TrainingRectBatches, SortByRatioWithoutPadding) {
  Index index;
  for (const auto& [h, w] : {std::pair{480, 640}, std::pair{640, 640}, std::pair{320, 640},
                             std::pair{640, 320}, std::pair{400, 640}}) {
    Picture picture;
    picture.height_px = h;
    picture.width_px = w;
    index.pictures.push_back(picture);
  }
  const RectBatches batches = training_rect_batches(index, 2, 640, 32);
  EXPECT_EQ(batches.order, (std::vector<int>{2, 4, 0, 1, 3}));
  ASSERT_EQ(batches.shapes.size(), 3u);
  EXPECT_EQ(batches.shapes[0], (Shape{416, 640}));  // 400 up to 13 strides
  EXPECT_EQ(batches.shapes[1], (Shape{640, 640}));  // up to ratio 1
  EXPECT_EQ(batches.shapes[2], (Shape{640, 320}));
}

}  // namespace
}  // namespace yolodist::data
