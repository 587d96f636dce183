// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/golden/golden.h"
#include "worker/eval/confusion_matrix.h"
#include "worker/eval/matching.h"
#include "worker/eval/nms.h"
#include "worker/eval/summary.h"

namespace yolodist::golden {
namespace {

// The rows that measures.predictions makes, in the peer's order of operations.
std::vector<float> predictions(uint64_t stream, size_t rows, size_t class_count, int levels) {
  const size_t width = class_count + 5;
  const std::vector<double> u = uniforms(stream, rows * width);
  std::vector<float> values(u.size());
  for (size_t row = 0; row < rows; ++row) {
    const double* in = u.data() + row * width;
    float* out = values.data() + row * width;
    for (size_t k = 0; k < 2; ++k) {
      out[k] = static_cast<float>(std::floor(in[k] * 6) * 50 + 40 + 12 * (in[k + 2] - 0.5));
      out[k + 2] = static_cast<float>(40 + 30 * in[k + 2]);
    }
    for (size_t k = 4; k < width; ++k) {
      out[k] = static_cast<float>(levels > 0 ? (std::floor(in[k] * levels) + 1) / levels : in[k]);
    }
  }
  return values;
}

TEST(GoldenEvaluation, SuppressionKeepsThePeersDetections) {
  const nlohmann::json file = load("evaluation");
  ASSERT_GE(file.at("nms").size(), 10u);
  for (const nlohmann::json& expected : file.at("nms")) {
    const auto name = expected.at("name").get<std::string>();
    SCOPED_TRACE(name);
    const int class_count = expected.at("nc");
    const std::vector<float> rows = predictions(expected.at("stream"), expected.at("rows"),
                                                static_cast<size_t>(class_count), expected.at("levels"));
    double sum = 0;
    for (const float value : rows) {
      sum += value;
    }
    ASSERT_NEAR(sum, expected.at("input_sums").at(0).get<double>(), 1e-9 * sum)
        << "the inputs are not the same";
    eval::NmsOptions options;
    options.confidence = expected.at("conf_thres").get<float>();
    options.iou = expected.at("iou_thres");
    options.multi_label = expected.at("multi_label");
    options.agnostic = expected.at("agnostic");
    options.max_detections = expected.at("max_det");
    const std::vector<eval::Detection> found = eval::suppress(rows, class_count, options);
    const Array kept = load_array("evaluation", "nms_" + name);
    ASSERT_EQ(found.size(), kept.shape.at(0));
    for (size_t i = 0; i < found.size(); ++i) {
      const double* row = kept.values.data() + 6 * i;
      ASSERT_EQ(found[i].box.x1, row[0]) << i;
      ASSERT_EQ(found[i].box.y1, row[1]) << i;
      ASSERT_EQ(found[i].box.x2, row[2]) << i;
      ASSERT_EQ(found[i].box.y2, row[3]) << i;
      ASSERT_EQ(found[i].score, row[4]) << i;
      ASSERT_EQ(found[i].class_index, row[5]) << i;
    }
  }
}

TEST(GoldenEvaluation, ThresholdsAreThePeers) {
  const auto expected = load("evaluation").at("iou_thresholds").get<std::vector<double>>();
  ASSERT_EQ(expected.size(), eval::iou_thresholds().size());
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(eval::iou_thresholds()[i], expected[i]);
  }
}

TEST(GoldenEvaluation, MatchingGivesThePeersTruePositives) {
  const nlohmann::json file = load("evaluation");
  ASSERT_GE(file.at("matching").size(), 10u);
  for (const nlohmann::json& expected : file.at("matching")) {
    const auto name = expected.at("name").get<std::string>();
    SCOPED_TRACE(name);
    const Array labels = load_array("evaluation", "match_" + name + "_labels");
    const Array detections = load_array("evaluation", "match_" + name + "_detections");
    const auto box_at = [](const Array& array, size_t at) {
      return eval::Box{static_cast<float>(array.values[at]), static_cast<float>(array.values[at + 1]),
                       static_cast<float>(array.values[at + 2]), static_cast<float>(array.values[at + 3])};
    };
    std::vector<eval::LabelBox> label_boxes;
    for (size_t i = 0; i < labels.shape.at(0); ++i) {
      label_boxes.push_back({box_at(labels, 5 * i + 1), static_cast<int>(labels.values[5 * i])});
    }
    std::vector<eval::Detection> found;
    for (size_t i = 0; i < detections.shape.at(0); ++i) {
      found.push_back({box_at(detections, 6 * i), static_cast<float>(detections.values[6 * i + 4]),
                       static_cast<int>(detections.values[6 * i + 5])});
    }
    EXPECT_EQ(eval::match(found, label_boxes), expected.at("correct").get<std::vector<uint16_t>>());
  }
}

TEST(GoldenEvaluation, BoxesReturnToThePicture) {
  const nlohmann::json file = load("evaluation");
  ASSERT_EQ(file.at("scaling").size(), 3u);
  for (const nlohmann::json& expected : file.at("scaling")) {
    data::Fitting fitting;
    fitting.native_height_px = expected.at("native").at(0);
    fitting.native_width_px = expected.at("native").at(1);
    fitting.gain_h = fitting.gain_w = expected.at("gain");
    fitting.pad_w = expected.at("pad").at(0);
    fitting.pad_h = expected.at("pad").at(1);
    for (size_t i = 0; i < expected.at("boxes").size(); ++i) {
      const auto in = expected.at("boxes").at(i).get<std::vector<float>>();
      const auto out = expected.at("scaled").at(i).get<std::vector<float>>();
      const eval::Box box = eval::to_native({in[0], in[1], in[2], in[3]}, fitting);
      EXPECT_EQ((std::vector<float>{box.x1, box.y1, box.x2, box.y2}), out);
    }
  }
}

TEST(GoldenEvaluation, AveragePrecisionIsThePeers) {
  const nlohmann::json file = load("evaluation");
  ASSERT_EQ(file.at("average_precision").size(), 5u);
  for (const nlohmann::json& expected : file.at("average_precision")) {
    SCOPED_TRACE(expected.at("name").get<std::string>());
    eval::ImageStatistics image;
    image.scores = expected.at("scores").get<std::vector<float>>();
    image.classes = expected.at("classes").get<std::vector<int32_t>>();
    image.correct = expected.at("correct").get<std::vector<uint16_t>>();
    image.target_classes = expected.at("targets").get<std::vector<int32_t>>();
    const eval::Metrics metrics = eval::summarize(std::vector<eval::ImageStatistics>{image});
    const auto means = expected.at("means").get<std::vector<double>>();
    EXPECT_NEAR(metrics.precision, means[0], 1e-12);
    EXPECT_NEAR(metrics.recall, means[1], 1e-12);
    EXPECT_NEAR(metrics.map50, means[2], 1e-12);
    EXPECT_NEAR(metrics.map, means[3], 1e-12);
    EXPECT_NEAR(metrics.fitness(), expected.at("fitness").get<double>(), 1e-12);
    if (!expected.contains("ap")) {
      EXPECT_EQ(metrics.map50, 0);
      continue;
    }
    ASSERT_EQ(metrics.detail.classes.size(), expected.at("ap_classes").size());
    for (size_t c = 0; c < metrics.detail.classes.size(); ++c) {
      const eval::ClassPrecision& quality = metrics.detail.classes[c];
      EXPECT_EQ(quality.class_index, expected.at("ap_classes").at(c).get<int>());
      EXPECT_NEAR(quality.precision, expected.at("p").at(c).get<double>(), 1e-12);
      EXPECT_NEAR(quality.recall, expected.at("r").at(c).get<double>(), 1e-12);
      EXPECT_NEAR(quality.f1, expected.at("f1").at(c).get<double>(), 1e-12);
      EXPECT_EQ(static_cast<double>(quality.true_positives), expected.at("tp").at(c).get<double>());
      EXPECT_EQ(static_cast<double>(quality.false_positives), expected.at("fp").at(c).get<double>());
      for (size_t t = 0; t < quality.average_precision.size(); ++t) {
        EXPECT_NEAR(quality.average_precision[t], expected.at("ap").at(c).at(t).get<double>(), 1e-12) << t;
      }
    }
  }
}

TEST(GoldenEvaluation, ConfusionMatrixIsThePeers) {
  const nlohmann::json file = load("confusion");
  ASSERT_GE(file.at("cases").size(), 10u);
  for (const nlohmann::json& expected : file.at("cases")) {
    SCOPED_TRACE(expected.at("name").get<std::string>());
    eval::ConfusionMatrix matrix(expected.at("nc"));
    for (const nlohmann::json& picture : expected.at("pictures")) {
      const auto labels = picture.at("labels").get<std::vector<float>>();
      const auto detections = picture.at("detections").get<std::vector<float>>();
      std::vector<eval::LabelBox> label_boxes;
      for (size_t i = 0; i + 5 <= labels.size(); i += 5) {
        label_boxes.push_back(
            {{labels[i + 1], labels[i + 2], labels[i + 3], labels[i + 4]}, static_cast<int>(labels[i])});
      }
      std::vector<eval::Detection> found;
      for (size_t i = 0; i + 6 <= detections.size(); i += 6) {
        found.push_back({{detections[i], detections[i + 1], detections[i + 2], detections[i + 3]},
                         detections[i + 4],
                         static_cast<int>(detections[i + 5])});
      }
      eval::add(matrix, found, label_boxes);
    }
    EXPECT_EQ(matrix.counts, expected.at("counts").get<std::vector<int64_t>>());
  }
}

}  // namespace
}  // namespace yolodist::golden
