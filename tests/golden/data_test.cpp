// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <opencv2/core.hpp>

#include "tests/golden/golden.h"
#include "tests/golden/picture_checks.h"
#include "worker/data/decode.h"
#include "worker/data/hsv.h"
#include "worker/data/index.h"
#include "worker/data/letterbox.h"
#include "worker/data/mosaic.h"
#include "worker/data/perspective.h"
#include "worker/data/pipeline.h"
#include "worker/data/rect_shapes.h"

namespace yolodist::golden {
namespace {

const nlohmann::json& file() {
  static const nlohmann::json document = load("data");
  return document;
}

config::Hyperparameters hyp_from(const nlohmann::json& document) {
  config::Hyperparameters hyp;
  hyp.hsv_h = document.at("hsv_h");
  hyp.hsv_s = document.at("hsv_s");
  hyp.hsv_v = document.at("hsv_v");
  hyp.degrees = document.at("degrees");
  hyp.translate = document.at("translate");
  hyp.scale = document.at("scale");
  hyp.shear = document.at("shear");
  hyp.perspective = document.at("perspective");
  hyp.flipud = document.at("flipud");
  hyp.fliplr = document.at("fliplr");
  hyp.mosaic = document.at("mosaic");
  hyp.mixup = document.at("mixup");
  return hyp;
}

data::Draws draws_from(const nlohmann::json& document) {
  data::Draws draws;
  draws.mosaic = document.at("mosaic");
  draws.first = mosaic_from(document.at("first"));
  draws.flip_up_down = document.at("flip_up_down");
  draws.flip_left_right = document.at("flip_left_right");
  draws.hue_gain = document.at("hue_gain");
  draws.saturation_gain = document.at("saturation_gain");
  draws.value_gain = document.at("value_gain");
  draws.mixup = document.at("mixup");
  if (draws.mixup) {
    draws.mixup_picture = document.at("mixup_picture");
    draws.second = mosaic_from(document.at("second"));
    draws.mixup_ratio = document.at("mixup_ratio");
  }
  return draws;
}

// Planar RGB -> interleaved RGB.
cv::Mat interleaved(const data::Sample& sample) {
  cv::Mat image(sample.height_px, sample.width_px, CV_8UC3);
  const size_t plane = static_cast<size_t>(sample.height_px) * static_cast<size_t>(sample.width_px);
  for (size_t i = 0; i < plane; ++i) {
    for (size_t c = 0; c < 3; ++c) {
      image.data[3 * i + c] = sample.pixels.at(c * plane + i);
    }
  }
  return image;
}

void expect_targets(const nlohmann::json& expected, const std::vector<data::Target>& targets) {
  ASSERT_EQ(targets.size(), expected.size());
  for (size_t i = 0; i < targets.size(); ++i) {
    const auto row = expected.at(i).get<std::vector<double>>();
    EXPECT_EQ(targets[i].class_index, row[0]);
    EXPECT_NEAR(targets[i].x, row[1], 1e-6) << i;
    EXPECT_NEAR(targets[i].y, row[2], 1e-6) << i;
    EXPECT_NEAR(targets[i].w, row[3], 1e-6) << i;
    EXPECT_NEAR(targets[i].h, row[4], 1e-6) << i;
  }
}

TEST(GoldenData, IndexListsThePeersPicturesAndLabels) {
  const auto files = file().at("files").get<std::vector<std::string>>();
  const auto boxes = file().at("boxes_of_files").get<std::vector<size_t>>();
  const data::Index& index = pictures("train");
  ASSERT_EQ(index.pictures.size(), files.size());
  for (size_t i = 0; i < files.size(); ++i) {
    EXPECT_EQ(index.pictures[i].path, sample_folder() / files[i]);
    EXPECT_EQ(index.pictures[i].targets.size(), boxes[i]) << files[i];
  }
}

TEST(GoldenData, LetterboxGeometryIsThePeers) {
  for (const nlohmann::json& expected : file().at("geometry")) {
    const auto native = expected.at("native").get<std::vector<int>>();
    const auto target = expected.at("target").get<std::vector<int>>();
    SCOPED_TRACE(expected.dump());
    const data::LetterboxGeometry geometry =
        data::letterbox_geometry(native[0], native[1], {target[0], target[1]}, expected.at("scale_up"));
    EXPECT_EQ(geometry.gain, expected.at("gain").get<double>());
    EXPECT_EQ(geometry.pad_w, expected.at("pad").at(0).get<double>());
    EXPECT_EQ(geometry.pad_h, expected.at("pad").at(1).get<double>());
    EXPECT_EQ(geometry.top_px, expected.at("top").get<int>());
    EXPECT_EQ(geometry.left_px, expected.at("left").get<int>());
    EXPECT_EQ(geometry.height_px, expected.at("height").get<int>());
    EXPECT_EQ(geometry.width_px, expected.at("width").get<int>());
  }
}

TEST(GoldenData, RectBatchesHaveThePeersOrderAndShapes) {
  std::vector<data::Shape> sides;
  for (const nlohmann::json& side : file().at("rect").at("sides")) {
    sides.push_back({side.at(0), side.at(1)});
  }
  for (const nlohmann::json& expected : file().at("rect").at("cases")) {
    const data::RectBatches batches = data::rect_batches(sides, expected.at("batch"), expected.at("imgsz"),
                                                         expected.at("stride"), expected.at("pad"));
    EXPECT_EQ(batches.order, expected.at("order").get<std::vector<int>>());
    ASSERT_EQ(batches.shapes.size(), expected.at("shapes").size());
    for (size_t i = 0; i < batches.shapes.size(); ++i) {
      EXPECT_EQ(batches.shapes[i].height_px, expected.at("shapes").at(i).at(0).get<int>());
      EXPECT_EQ(batches.shapes[i].width_px, expected.at("shapes").at(i).at(1).get<int>());
    }
  }
}

TEST(GoldenData, LetterboxedPicturesAreThePeers) {
  for (const nlohmann::json& expected : file().at("letterbox")) {
    const int side = expected.at("size");
    const data::LoadedPicture loaded =
        data::load_picture(pictures("train"), expected.at("picture"), side, expected.at("augment"), nullptr);
    EXPECT_EQ(loaded.native_height_px, expected.at("native").at(0).get<int>());
    EXPECT_EQ(loaded.image.rows, expected.at("resized").at(0).get<int>());
    EXPECT_EQ(loaded.image.cols, expected.at("resized").at(1).get<int>());
    const data::Shape target{side, side};
    const auto geometry =
        data::letterbox_geometry(loaded.image.rows, loaded.image.cols, target, expected.at("augment"));
    expect_pixels("data", expected.at("pixels"), data::letterbox(loaded.image, target, geometry));
  }
}

TEST(GoldenData, ColourChangesAreThePeers) {
  for (const nlohmann::json& expected : file().at("hsv")) {
    cv::Mat image =
        data::load_picture(pictures("train"), expected.at("picture"), file().at("imgsz"), true, nullptr)
            .image.clone();
    const nlohmann::json& draws = expected.at("draws");
    data::change_hsv(image, draws.at("hue_gain"), draws.at("saturation_gain"), draws.at("value_gain"));
    expect_pixels("data", expected.at("pixels"), image);
  }
}

TEST(GoldenData, WarpsMovePixelsAndBoxesAsThePeer) {
  const int side = file().at("imgsz");
  for (const nlohmann::json& expected : file().at("warp")) {
    SCOPED_TRACE(expected.at("name").get<std::string>());
    const cv::Mat loaded =
        data::load_picture(pictures("train"), expected.at("picture"), side, true, nullptr).image;
    data::Canvas canvas;
    canvas.image = data::letterbox(loaded, {side, side},
                                   data::letterbox_geometry(loaded.rows, loaded.cols, {side, side}, true));
    for (const nlohmann::json& row : expected.at("input_boxes")) {
      canvas.boxes.push_back({row.at(0).get<int>(), row.at(1).get<float>(), row.at(2).get<float>(),
                              row.at(3).get<float>(), row.at(4).get<float>()});
    }
    const data::Canvas warped = data::random_perspective(
        canvas, warp_from(expected.at("draws")), expected.at("perspective"), expected.at("border_px"));
    expect_boxes(expected.at("boxes"), warped.boxes);
    expect_pixels("data", expected.at("pixels"), warped.image);
  }
}

TEST(GoldenData, MosaicsAreThePeers) {
  const config::Hyperparameters hyp;  // hyp.scratch-low, as the file's
  for (const nlohmann::json& expected : file().at("mosaic")) {
    SCOPED_TRACE(expected.at("picture").dump());
    const data::Canvas canvas =
        data::mosaic(pictures("train"), expected.at("picture"), mosaic_from(expected.at("draws")), hyp,
                     file().at("imgsz"), nullptr);
    expect_boxes(expected.at("boxes"), canvas.boxes);
    expect_pixels("data", expected.at("pixels"), canvas.image);
  }
}

TEST(GoldenData, WholeTrainingSamplesAreThePeers) {
  ASSERT_EQ(file().at("samples").size(), 5u);
  for (const nlohmann::json& expected : file().at("samples")) {
    SCOPED_TRACE(expected.at("name").get<std::string>());
    const data::Sample sample =
        data::training_sample(pictures("train"), expected.at("picture"), draws_from(expected.at("draws")),
                              hyp_from(expected.at("hyp")), file().at("imgsz"), true);
    expect_targets(expected.at("targets"), sample.targets);
    expect_pixels("data", expected.at("pixels"), interleaved(sample));
  }
}

TEST(GoldenData, ValidationSamplesAreThePeers) {
  for (const nlohmann::json& expected : file().at("validation")) {
    const auto name = expected.at("file").get<std::string>();
    SCOPED_TRACE(name);
    const data::Index& index = pictures("val");
    int picture = 0;
    while (index.pictures.at(static_cast<size_t>(picture)).path != sample_folder() / name) {
      ++picture;
    }
    const auto shape = expected.at("pixels").at("shape").get<std::vector<int>>();
    const data::Sample sample =
        data::validation_sample(index, picture, shape[0], shape[1], file().at("imgsz"));
    EXPECT_EQ(sample.fitting.native_height_px, expected.at("native").at(0).get<int>());
    EXPECT_EQ(sample.fitting.native_width_px, expected.at("native").at(1).get<int>());
    EXPECT_EQ(sample.fitting.gain_h, expected.at("gain").at(0).get<double>());
    EXPECT_EQ(sample.fitting.gain_w, expected.at("gain").at(1).get<double>());
    EXPECT_EQ(sample.fitting.pad_w, expected.at("pad").at(0).get<double>());
    EXPECT_EQ(sample.fitting.pad_h, expected.at("pad").at(1).get<double>());
    expect_targets(expected.at("targets"), sample.targets);
    expect_pixels("data", expected.at("pixels"), interleaved(sample));
  }
}

TEST(GoldenData, PicturesOfTheTraceAreThePeers) {
  const nlohmann::json trace = load("trace");
  const auto files = trace.at("files").get<std::vector<std::string>>();
  for (size_t i = 0; i < files.size(); ++i) {
    ASSERT_EQ(pictures("train").pictures.at(i).path, sample_folder() / files[i]);
    const data::Sample sample =
        data::training_sample(pictures("train"), static_cast<int>(i), {}, {}, trace.at("imgsz"), false);
    EXPECT_EQ(sha256(sample.pixels.data(), sample.pixels.size()),
              trace.at("pixel_sha256").at(i).get<std::string>())
        << files[i];
  }
}

}  // namespace
}  // namespace yolodist::golden
