// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/commands/val_results.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "common/base/atomic_file.h"
#include "tests/support/temporary_folder.h"
#include "worker/comm/local_communicator.h"
#include "worker/commands/coco_json.h"

namespace yolodist::commands {
namespace {

train::ValidationReport report_of_two_classes() {
  eval::ImageStatistics image;
  image.scores = {0.9F, 0.8F};
  image.classes = {0, 2};
  image.correct = {0x3ff, 0};
  image.target_classes = {0, 2, 2};
  train::ValidationReport report;
  report.metrics = eval::summarize(std::vector<eval::ImageStatistics>{image});
  report.confusion = eval::ConfusionMatrix(3);
  report.confusion.counts[report.confusion.index(0, 0)] = 5;
  report.speed = {1.5, 2.5, 0.25};
  return report;
}

TEST(ResultDocument, HasTheFieldsOfTheAgreement) {
  const nlohmann::ordered_json document = result_document(report_of_two_classes(), {"a", "b", "c"});
  std::vector<std::string> keys;
  for (const auto& [key, value] : document.items()) {
    keys.push_back(key);
  }
  EXPECT_THAT(keys, testing::ElementsAre("schema", "images", "labels", "P", "R", "mAP50", "mAP50-95",
                                         "per_class", "speed_ms"));
  EXPECT_EQ(document["images"], 1);
  EXPECT_EQ(document["labels"], 3);
  ASSERT_EQ(document["per_class"].size(), 2U);
  EXPECT_EQ(document["per_class"][1]["class"], 2);
  EXPECT_EQ(document["per_class"][1]["name"], "c");
  EXPECT_EQ(document["per_class"][1]["labels"], 2);
  EXPECT_NEAR(document["per_class"][0]["mAP50"].get<double>(), 0.995, 1e-9);
  EXPECT_EQ(document["speed_ms"]["nms"], 0.25);
}

TEST(CurvesDocument, HoldsCurvesAndConfusions) {
  const nlohmann::ordered_json document = curves_document(report_of_two_classes(), {"a", "b", "c"});
  EXPECT_EQ(document["x"].size(), 1000U);
  EXPECT_EQ(document["classes"][0]["F1"].size(), 1000U);
  EXPECT_EQ(document["confusion_matrix"]["counts"].size(), 4U);
  EXPECT_EQ(document["confusion_matrix"]["counts"][0][0], 5);
}

TEST(Coco, KnowsItselfAndItsCategories) {
  config::DataSet data;
  data.val = {"/data/coco/val2017.txt"};
  EXPECT_TRUE(is_coco(data));
  data.val = {"/data/coco128/images"};
  EXPECT_FALSE(is_coco(data));
  EXPECT_EQ(coco_category(0), 1);
  EXPECT_EQ(coco_category(10), 11);
  EXPECT_EQ(coco_category(11), 13);
  EXPECT_EQ(coco_category(79), 90);
  EXPECT_ANY_THROW(coco_category(80));
}

TEST(CocoWriter, WritesRowsOfCocosForm) {
  const test::TemporaryFolder folder;
  data::Index pictures;
  for (const char* path : {"images/000000000139.jpg", "images/b\"ee.jpg"}) {
    pictures.pictures.emplace_back();
    pictures.pictures.back().path = path;
  }
  std::vector<data::Sample> samples(2);
  std::vector<std::vector<eval::Detection>> detections = {{{{10, 20, 30.12345F, 60}, 0.123456789F, 11}},
                                                          {{{0, 0, 8, 8}, 0.5F, 0}}};
  for (int i = 0; i < 2; ++i) {
    samples[static_cast<size_t>(i)].picture_index = i;
    samples[static_cast<size_t>(i)].fitting = {100, 200, 1, 1, 0, 0};
  }
  const std::vector<at::Tensor> raw;
  auto communicators = comm::make_local_communicators(1);
  CocoWriter writer(folder / "p.json", pictures, true, *communicators[0]);
  writer.add({0, samples, raw, detections});
  EXPECT_FALSE(std::filesystem::exists(folder / "p.json")) << "whole or not at all";
  writer.finish();
  const auto document = nlohmann::json::parse(read_file(folder / "p.json"));
  ASSERT_EQ(document.size(), 2U);
  EXPECT_EQ(document[0]["image_id"], 139);
  EXPECT_EQ(document[0]["category_id"], 13);
  EXPECT_EQ(document[0]["bbox"], nlohmann::json({10, 20, 20.123, 40}));
  EXPECT_EQ(document[0]["score"], 0.12346);
  EXPECT_EQ(document[1]["image_id"], "b\"ee");
}

}  // namespace
}  // namespace yolodist::commands
