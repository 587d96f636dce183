// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/golden/golden.h"
#include "tests/golden/picture_checks.h"
#include "worker/data/auto_anchor.h"
#include "worker/data/copy_paste.h"
#include "worker/data/image_weights.h"
#include "worker/data/labels.h"
#include "worker/data/mosaic.h"

namespace yolodist::golden {
namespace {

// The sample's pictures with the polygons of the golden file.
data::Index pictures_with_polygons(const nlohmann::json& texts) {
  data::Index index = pictures("train");
  for (data::Picture& picture : index.pictures) {
    data::Labels labels =
        data::parse_labels(texts.at(picture.path.stem().string()).get<std::string>(), {3, false, ""}, "");
    picture.targets = std::move(labels.targets);
    picture.segments = std::move(labels.segments);
  }
  return index;
}

TEST(GoldenTrainingData, CopyPasteMovesPixelsBoxesAndPolygonsAsThePeer) {
  const nlohmann::json file = load("copy_paste");
  const data::Index index = pictures_with_polygons(file.at("labels"));
  const int side = file.at("imgsz");
  int pasted = 0;
  for (const nlohmann::json& expected : file.at("mosaic")) {
    SCOPED_TRACE(expected.at("picture").dump());
    const data::MosaicDraws draws = mosaic_from(expected.at("draws"));
    data::Canvas canvas = data::mosaic_canvas(index, expected.at("picture"), draws, side, nullptr);
    const auto objects = expected.at("objects").get<std::vector<int>>();
    const size_t before = canvas.boxes.size();
    ASSERT_EQ(before, expected.at("canvas").at("before").get<size_t>());
    EXPECT_EQ(data::chosen_objects(1, static_cast<int>(before), expected.at("share")).size(), objects.size());
    data::copy_paste(canvas, objects);
    expect_boxes(expected.at("canvas").at("boxes"), canvas.boxes);
    expect_pixels("copy_paste", expected.at("canvas").at("pixels"), canvas.image);
    const nlohmann::json& segments = expected.at("canvas").at("last_segments");
    ASSERT_EQ(canvas.segments.size(), before + segments.size());
    for (size_t i = 0; i < segments.size(); ++i, ++pasted) {
      for (size_t k = 0; k < segments[i].size(); ++k) {
        EXPECT_NEAR(canvas.segments[before + i].at(k).x, segments[i][k][0].get<double>(), 1e-4);
        EXPECT_NEAR(canvas.segments[before + i].at(k).y, segments[i][k][1].get<double>(), 1e-4);
      }
    }
    const data::Canvas warped =
        data::random_perspective(canvas, draws.warp, false, data::mosaic_border_px(side));
    expect_boxes(expected.at("boxes"), warped.boxes);
    expect_pixels("copy_paste", expected.at("pixels"), warped.image);
  }
  EXPECT_GT(pasted, 10);
}

struct AnchorCase {
  data::Index index;
  data::Anchors anchors;
  std::vector<data::Anchor> flat;
  double anchor_t;
  int imgsz_px;

  explicit AnchorCase(const nlohmann::json& document)
      : anchor_t(document.at("anchor_t")), imgsz_px(document.at("imgsz")) {
    for (size_t i = 0; i < document.at("shapes").size(); ++i) {
      data::Picture picture;
      picture.width_px = document.at("shapes")[i][0];
      picture.height_px = document.at("shapes")[i][1];
      for (const nlohmann::json& sides : document.at("labels")[i]) {
        picture.targets.push_back({0, 0.5f, 0.5f, sides[0].get<float>(), sides[1].get<float>()});
      }
      index.pictures.push_back(std::move(picture));
    }
    for (const nlohmann::json& numbers : document.at("anchors_px")) {
      anchors.emplace_back();
      for (size_t i = 0; i < numbers.size(); i += 2) {
        anchors.back().push_back({numbers[i], numbers[i + 1]});
        flat.push_back(anchors.back().back());
      }
    }
  }
  std::vector<data::LabelSides> usable_sides() const {
    std::vector<data::LabelSides> sides = data::label_sides(index, imgsz_px);
    std::erase_if(sides, [](const data::LabelSides& label) { return label.w < 2 && label.h < 2; });
    return sides;
  }
};

TEST(GoldenTrainingData, AnchorsFitAsThePeerSays) {
  const nlohmann::json file = load("anchors");
  ASSERT_EQ(file.at("cases").size(), 3u);
  for (const nlohmann::json& expected : file.at("cases")) {
    SCOPED_TRACE(expected.at("name").get<std::string>());
    const AnchorCase set(expected);
    const std::vector<data::LabelSides> sides =
        data::label_sides(set.index, set.imgsz_px, expected.at("jitter").get<std::vector<double>>());
    const data::AnchorFit fit = data::anchor_fit(sides, set.flat, set.anchor_t);
    // The peer's message has two and three decimals.
    EXPECT_NEAR(fit.anchors_per_target, std::stod(expected.at("anchors_per_target").get<std::string>()),
                0.005001);
    EXPECT_NEAR(fit.best_possible_recall, std::stod(expected.at("best_possible_recall").get<std::string>()),
                0.000501);
    EXPECT_EQ(set.usable_sides().size(), expected.at("usable_labels").get<size_t>());
  }
}

// Random restarts and mutations differ, so the anchors do; how well they fit does not.
TEST(GoldenTrainingData, AnchorsFoundFitAsWellAsThePeers) {
  const nlohmann::json file = load("anchors");
  ASSERT_EQ(file.at("cases").size(), 3u);
  for (const nlohmann::json& expected : file.at("cases")) {
    SCOPED_TRACE(expected.at("name").get<std::string>());
    const AnchorCase set(expected);
    const std::vector<data::LabelSides> sides = set.usable_sides();
    const std::vector<data::Anchor> start =
        data::kmean_anchors(data::label_sides(set.index, set.imgsz_px), static_cast<int>(set.flat.size()),
                            set.imgsz_px, set.anchor_t, 0, 0);
    EXPECT_NEAR(data::anchor_fitness(sides, start, set.anchor_t), expected.at("start_fitness").get<double>(),
                0.04);
    const data::AnchorReport report =
        data::check_anchors(set.index, set.anchors, set.anchor_t, set.imgsz_px, 0);
    ASSERT_EQ(report.better.has_value(), !expected.at("found").is_null());
    if (!report.better) {
      continue;
    }
    std::vector<data::Anchor> ours, peers;
    for (const std::vector<data::Anchor>& level : *report.better) {
      ours.insert(ours.end(), level.begin(), level.end());
    }
    for (const nlohmann::json& anchor : expected.at("found")) {
      peers.push_back({anchor[0], anchor[1]});
    }
    const double reached = expected.at("found_fitness");
    EXPECT_NEAR(data::anchor_fitness(sides, peers, set.anchor_t), reached, 1e-5);
    EXPECT_GT(data::anchor_fitness(sides, ours, set.anchor_t), reached - 0.01);
  }
}

TEST(GoldenTrainingData, ImageWeightsAndPicksAreThePeers) {
  const nlohmann::json file = load("image_weights");
  data::Index index;
  for (const nlohmann::json& row : file.at("labels")) {
    data::Picture picture;
    for (const nlohmann::json& label : row) {
      picture.targets.push_back({label, 0.5f, 0.5f, 0.1f, 0.1f});
    }
    index.pictures.push_back(std::move(picture));
  }
  const std::vector<double> classes = data::class_weights(index, file.at("classes"));
  const auto expected_classes = file.at("class_weights").get<std::vector<double>>();
  ASSERT_EQ(classes.size(), expected_classes.size());
  for (size_t c = 0; c < classes.size(); ++c) {
    EXPECT_NEAR(classes[c], expected_classes[c], 1e-6);  // the peer's are fp32
  }
  for (const nlohmann::json& expected : file.at("cases")) {
    const std::vector<double> weights =
        data::image_weights(index, classes, expected.at("maps").get<std::vector<double>>());
    const auto expected_weights = expected.at("image_weights").get<std::vector<double>>();
    ASSERT_EQ(weights.size(), expected_weights.size());
    for (size_t i = 0; i < weights.size(); ++i) {
      EXPECT_NEAR(weights[i], expected_weights[i], 1e-6) << i;
    }
    EXPECT_EQ(data::picked_by_weight(expected_weights, expected.at("uniforms").get<std::vector<double>>()),
              expected.at("picked").get<std::vector<int>>());
  }
}

}  // namespace
}  // namespace yolodist::golden
