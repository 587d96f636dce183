// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/data/mosaic.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <opencv2/core.hpp>

#include "tests/unit/worker/data/temporary_folder.h"
#include "worker/data/letterbox.h"
#include "worker/data/mixup.h"

namespace yolodist::data {
namespace {

const cv::Vec3b grey(114, 114, 114);

TEST(TilePlace, TouchesTheCentreAndIsCutAtTheEdge) {
  // Centre (x 60, y 50) of a canvas of 200, tiles 100 x 80.
  const TilePlace left_above = tile_place(0, 100, 80, 60, 50, 200);
  EXPECT_EQ(left_above.canvas, cv::Rect(0, 0, 60, 50));
  EXPECT_EQ(left_above.tile, cv::Rect(40, 30, 60, 50));
  const TilePlace right_above = tile_place(1, 100, 80, 60, 50, 200);
  EXPECT_EQ(right_above.canvas, cv::Rect(60, 0, 100, 50));
  EXPECT_EQ(right_above.tile, cv::Rect(0, 30, 100, 50));
  const TilePlace left_below = tile_place(2, 100, 80, 60, 50, 200);
  EXPECT_EQ(left_below.canvas, cv::Rect(0, 50, 60, 80));
  EXPECT_EQ(left_below.tile, cv::Rect(40, 0, 60, 80));
  const TilePlace right_below = tile_place(3, 100, 80, 60, 50, 200);
  EXPECT_EQ(right_below.canvas, cv::Rect(60, 50, 100, 80));
  EXPECT_EQ(right_below.tile, cv::Rect(0, 0, 100, 80));
}

TEST(TilePlace, LeavesASmallTileWholeBesideTheCentre) {
  const TilePlace place = tile_place(0, 20, 10, 60, 50, 200);
  EXPECT_EQ(place.canvas, cv::Rect(40, 40, 20, 10));
  EXPECT_EQ(place.tile, cv::Rect(0, 0, 20, 10));
}

// Four pictures of 100 x 100 in colours of their own, each with one box in its middle half.
struct FourColours {
  TemporaryFolder folder;
  Index index;

  FourColours() {
    for (int i = 0; i < 4; ++i) {
      Picture picture;
      picture.path =
          folder.write_picture("p" + std::to_string(i) + ".png", 100, 100, cv::Scalar::all(10 * (i + 1)));
      picture.width_px = picture.height_px = 100;
      picture.targets = {{i, 0.5f, 0.5f, 0.5f, 0.5f}};
      index.pictures.push_back(picture);
    }
  }
  static MosaicDraws draws() {
    MosaicDraws draws;
    draws.centre_x_px = 60;
    draws.centre_y_px = 110;
    draws.partners = {1, 2, 3};
    draws.order = {2, 0, 3, 1};
    return draws;
  }
};

TEST(Mosaic, ShowsThePicturesInTheShuffledOrder) {
  const FourColours set;
  const Canvas canvas = mosaic_canvas(set.index, 0, FourColours::draws(), 100, nullptr);
  ASSERT_EQ(canvas.image.size(), cv::Size(200, 200));
  EXPECT_EQ(canvas.image.at<cv::Vec3b>(109, 59)[0], 30);  // tile 0: number 2
  EXPECT_EQ(canvas.image.at<cv::Vec3b>(109, 60)[0], 10);  // tile 1: the picture itself
  EXPECT_EQ(canvas.image.at<cv::Vec3b>(110, 59)[0], 40);  // tile 2: number 3
  EXPECT_EQ(canvas.image.at<cv::Vec3b>(110, 60)[0], 20);  // tile 3: number 1
  EXPECT_EQ(canvas.image.at<cv::Vec3b>(109, 161), grey);  // right of the tiles
  EXPECT_EQ(canvas.image.at<cv::Vec3b>(9, 60), grey);     // above them
  EXPECT_EQ(canvas.image.at<cv::Vec3b>(10, 60)[0], 10);
}

TEST(Mosaic, MovesAndClipsTheBoxes) {
  const FourColours set;
  const Canvas canvas = mosaic_canvas(set.index, 0, FourColours::draws(), 100, nullptr);
  ASSERT_EQ(canvas.boxes.size(), 4u);
  // Tile 0 shows picture 2 from x -40 to 60, y 10 to 110; its box is 25 to 75 in it.
  EXPECT_EQ(canvas.boxes[0].class_index, 2);
  EXPECT_EQ(canvas.boxes[0].x1, 0.0f);
  EXPECT_EQ(canvas.boxes[0].y1, 35.0f);
  EXPECT_EQ(canvas.boxes[0].x2, 35.0f);
  EXPECT_EQ(canvas.boxes[0].y2, 85.0f);
  EXPECT_EQ(canvas.boxes[3].class_index, 1);
  EXPECT_EQ(canvas.boxes[3].x1, 85.0f);
  EXPECT_EQ(canvas.boxes[3].y2, 185.0f);
}

TEST(Mosaic, CutsTheMiddleOutOfTheCanvas) {
  const FourColours set;
  const Canvas canvas = mosaic_canvas(set.index, 0, FourColours::draws(), 100, nullptr);
  // Nothing turned or scaled: the output is the canvas from 50 to 150.
  const Canvas result = mosaic(set.index, 0, FourColours::draws(), config::Hyperparameters{}, 100, nullptr);
  ASSERT_EQ(result.image.size(), cv::Size(100, 100));
  EXPECT_EQ(cv::norm(result.image, canvas.image(cv::Rect(50, 50, 100, 100)), cv::NORM_INF), 0);
  // Picture 2's box lies left of the cut; the others are kept, cut to it.
  ASSERT_EQ(result.boxes.size(), 2u);
  EXPECT_EQ(result.boxes[0].class_index, 0);
  EXPECT_FLOAT_EQ(result.boxes[0].x1, 35.0f);
  EXPECT_FLOAT_EQ(result.boxes[0].y1, 0.0f);
  EXPECT_FLOAT_EQ(result.boxes[0].y2, 35.0f);
  EXPECT_EQ(result.boxes[1].class_index, 1);
}

TEST(Mosaic, MovesSegmentsWithTheirPictures) {
  FourColours set;
  for (Picture& picture : set.index.pictures) {
    picture.segments = {{{0.25f, 0.25f}, {0.75f, 0.25f}, {0.5f, 0.75f}}};
  }
  const Canvas canvas = mosaic_canvas(set.index, 0, FourColours::draws(), 100, nullptr);
  ASSERT_EQ(canvas.segments.size(), 4u);
  EXPECT_EQ(canvas.segments[0][0].x, 0.0f);
  EXPECT_EQ(canvas.segments[0][1].x, 35.0f);
  EXPECT_EQ(canvas.segments[3][2].x, 110.0f);
  EXPECT_EQ(canvas.segments[3][2].y, 185.0f);
}

TEST(Mosaic, ShowsGreyForAPictureThatCannotBeReadAndNamesItOnce) {
  FourColours set;
  set.index.pictures[1].path = set.folder.path() / "gone.png";
  std::vector<std::string> named;
  DecodeFailures failures([&](const Picture& picture, const std::string& reason) {
    named.push_back(picture.path.filename().string() + ": " + reason);
  });
  for (int i = 0; i < 2; ++i) {
    const Canvas canvas = mosaic_canvas(set.index, 0, FourColours::draws(), 100, &failures);
    EXPECT_EQ(canvas.image.at<cv::Vec3b>(110, 60), grey);
    EXPECT_EQ(canvas.boxes.size(), 3u);
  }
  EXPECT_THAT(named, testing::ElementsAre("gone.png: No such file or directory"));
  EXPECT_EQ(failures.count(), 1);
}

TEST(Mixup, BlendsAndCutsToWholeNumbers) {
  Canvas a{cv::Mat(2, 2, CV_8UC3, cv::Scalar(100, 255, 0)), {{0, 0, 0, 1, 1}}, {}};
  const Canvas b{cv::Mat(2, 2, CV_8UC3, cv::Scalar(103, 255, 255)), {{1, 0, 0, 2, 2}}, {}};
  mix_in(a, b, 0.5);
  EXPECT_EQ(a.image.at<cv::Vec3b>(1, 1), cv::Vec3b(101, 255, 127));
  ASSERT_EQ(a.boxes.size(), 2u);
  EXPECT_EQ(a.boxes[1].class_index, 1);
}

}  // namespace
}  // namespace yolodist::data
