// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include <ATen/Parallel.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <cmath>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <string>

#include "common/base/atomic_file.h"
#include "tests/golden/tensors.h"
#include "worker/checkpoint/checkpoint.h"
#include "worker/model/model.h"

namespace yolodist::golden {
namespace {

// YOLOv5's released weights are not part of yolodist; where a copy lies beside the source tree they are held
// to what the peer reads in them.
class GoldenWeights : public ::testing::Test {
 protected:
  void SetUp() override {
    at::set_num_threads(1);
    file_ = load("weights");
    const std::filesystem::path path = std::filesystem::path(YOLODIST_SOURCE_DIR) / "../shared/weights" /
                                       file_.at("file").get<std::string>();
    if (!std::filesystem::exists(path)) {
      GTEST_SKIP() << path << " is not there";
    }
    const std::string bytes = read_file(path);
    if (sha256(bytes.data(), bytes.size()) != file_.at("sha256")) {
      GTEST_SKIP() << path << " is another file than the golden numbers are of";
    }
    weights_ = checkpoint::read_checkpoint(path);
  }

  nlohmann::json file_;
  checkpoint::Checkpoint weights_;
};

TEST_F(GoldenWeights, AreThePeersEntryByEntry) {
  const nlohmann::json& entries = file_.at("entries");
  ASSERT_EQ(entries.size(), 349U);
  ASSERT_EQ(weights_.model.size(), entries.size());
  EXPECT_TRUE(weights_.ema.empty());
  for (size_t i = 0; i < entries.size(); ++i) {
    const auto& [name, tensor] = weights_.model[i];
    EXPECT_EQ(name, entries[i].at("name"));
    EXPECT_EQ(tensor.sizes().vec(), entries[i].at("shape").get<std::vector<int64_t>>()) << name;
    EXPECT_EQ(tensor.scalar_type(), name.ends_with("num_batches_tracked") ? at::kLong : at::kFloat) << name;
    const auto [sum, squares] = sums_of(tensor);
    const double norm = std::sqrt(entries[i].at("sums").at(1).get<double>());
    EXPECT_NEAR(sum, entries[i].at("sums").at(0).get<double>(), 1e-12 * (1 + norm)) << name;
    EXPECT_NEAR(std::sqrt(squares), norm, 1e-12 * (1 + norm)) << name;
  }
}

TEST_F(GoldenWeights, FitTheModelThatTheirYamlDescribes) {
  EXPECT_EQ(weights_.meta.at("official"), true);
  EXPECT_EQ(weights_.meta.at("names"), file_.at("names"));
  EXPECT_EQ(weights_.meta.at("nc"), file_.at("nc"));
  EXPECT_EQ(weights_.meta.at("epoch"), -1);
  const model_spec::ModelSpec described =
      model_spec::parse_model_spec(weights_.meta.at("model_yaml").get<std::string>(), "yolov5n.pt");
  const model_spec::ModelSpec shipped = shipped_spec("yolov5n", 80);
  EXPECT_EQ(described.yaml_text, shipped.yaml_text);
  EXPECT_EQ(weights_.meta.at("strides").get<std::vector<int>>(), described.strides_px);
  int64_t parameters = 0;
  const std::vector<model_spec::StateEntry> entries = described.entries();
  ASSERT_EQ(entries.size(), weights_.model.size());
  for (size_t i = 0; i < entries.size(); ++i) {
    EXPECT_EQ(entries[i].name, weights_.model[i].first);
    EXPECT_EQ(entries[i].shape, weights_.model[i].second.sizes().vec()) << entries[i].name;
    parameters += entries[i].is_parameter() ? weights_.model[i].second.numel() : 0;
  }
  EXPECT_EQ(parameters, 1'872'157);
  EXPECT_EQ(parameters, file_.at("parameters").get<int64_t>());
}

TEST_F(GoldenWeights, GiveThePeersRawOutputsOnAPicture) {
  const c10::NoGradGuard no_grad;
  const auto window = file_.at("window").get<std::vector<int>>();  // top, left, height, width
  const cv::Mat whole =
      cv::imread((sample_folder() / file_.at("picture").get<std::string>()).string(), cv::IMREAD_COLOR);
  cv::Mat picture;
  cv::cvtColor(whole(cv::Rect(window[1], window[0], window[3], window[2])), picture, cv::COLOR_BGR2RGB);
  ASSERT_EQ(sha256(picture.data, picture.total() * 3), file_.at("pixels").get<std::string>());

  model::Model model(shipped_spec("yolov5n", 80), at::kFloat);
  for (const auto& [name, tensor] : weights_.model) {
    at::Tensor(model.state.at(name)).copy_(tensor);
  }
  const at::Tensor images = at::from_blob(picture.data, {1, window[2], window[3], 3}, at::kByte)
                                .permute({0, 3, 1, 2})
                                .to(at::kFloat)
                                .div(255);
  const std::vector<at::Tensor> raw = model::forward(model, images, nullptr);
  ASSERT_EQ(raw.size(), file_.at("raw").size());
  for (size_t level = 0; level < raw.size(); ++level) {
    const Summary expected = summary_from_json(file_.at("raw").at(level));
    ASSERT_EQ(raw[level].sizes().vec(), expected.shape);
    const std::vector<double> values = values_of(raw[level]);
    for (size_t i = 0; i < expected.values.size(); ++i) {
      EXPECT_NEAR(values[i * expected.step], expected.values[i], 1e-4) << "level " << level << " value " << i;
    }
  }
}

}  // namespace
}  // namespace yolodist::golden
