// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "common/model_spec/model_spec.h"
#include "tests/golden/golden.h"

namespace yolodist::golden {
namespace {

model_spec::ModelSpec shipped(const std::string& name, int class_count) {
  return model_spec::read_model_spec(
      std::filesystem::path(YOLODIST_SOURCE_DIR) / "share/yolodist/models" / (name + ".yaml"), class_count);
}

std::vector<std::string> state_lines(const model_spec::ModelSpec& spec) {
  std::vector<std::string> lines;
  for (const model_spec::StateEntry& entry : spec.entries()) {
    std::string shape;
    for (const int64_t side : entry.shape) {
      shape += (shape.empty() ? "" : "x") + std::to_string(side);
    }
    lines.push_back(entry.name + " " + (shape.empty() ? "scalar" : shape));
  }
  return lines;
}

TEST(Golden, ShaIsTheStandardOne) {
  EXPECT_EQ(sha256("", 0), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  const std::string text = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
  EXPECT_EQ(sha256(text.data(), text.size()),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

TEST(GoldenBuilder, EveryModelHasThePeersEntriesAndCounts) {
  const nlohmann::json file = load("builder");
  ASSERT_EQ(file.at("models").size(), 14u);
  for (const nlohmann::json& expected : file.at("models")) {
    const auto name = expected.at("name").get<std::string>();
    const int class_count = expected.at("nc");
    SCOPED_TRACE(name + " nc " + std::to_string(class_count));
    const model_spec::ModelSpec spec = shipped(name, class_count);
    EXPECT_EQ(spec.parameter_count(), expected.at("parameters").get<int64_t>());
    const auto layers = expected.at("layer_parameters").get<std::vector<int64_t>>();
    ASSERT_EQ(spec.layers.size(), layers.size());
    for (size_t i = 0; i < layers.size(); ++i) {
      EXPECT_EQ(spec.layers[i].parameter_count(), layers[i]) << "layer " << i;
    }
    const std::vector<std::string> lines = state_lines(spec);
    EXPECT_EQ(lines.size(), expected.at("entry_count").get<size_t>());
    if (expected.contains("entries")) {
      EXPECT_EQ(lines, expected.at("entries").get<std::vector<std::string>>());
    }
    std::string joined;
    for (const std::string& line : lines) {
      joined += (joined.empty() ? "" : "\n") + line;
    }
    EXPECT_EQ(sha256(joined.data(), joined.size()), expected.at("entries_sha256").get<std::string>());
    const auto strides = expected.at("strides").get<std::vector<double>>();
    ASSERT_EQ(spec.strides_px.size(), strides.size());
    for (size_t level = 0; level < strides.size(); ++level) {
      EXPECT_EQ(spec.strides_px[level], strides[level]);
      const nlohmann::json& anchors = expected.at("anchors_grid").at(level);
      ASSERT_EQ(spec.anchors_px[level].size(), anchors.size());
      for (size_t a = 0; a < anchors.size(); ++a) {
        for (size_t side = 0; side < 2; ++side) {
          EXPECT_EQ(spec.anchors_px[level][a][side] / spec.strides_px[level],
                    anchors.at(a).at(side).get<double>());
        }
      }
    }
  }
}

TEST(GoldenFormula, FillsWeightsAsTheScriptDoes) {
  for (const char* name : {"forward_n", "forward_n6"}) {
    const nlohmann::json file = load(name);
    const auto expected = file.at("weights").get<std::vector<double>>();
    std::vector<double> sums(4, 0.0);  // parameters, then BN statistics: sum, sum of squares
    const auto entries = shipped(file.at("model"), file.at("nc")).entries();
    for (size_t e = 0; e < entries.size(); ++e) {
      using Role = model_spec::StateEntry::Role;
      if (entries[e].role == Role::anchors || entries[e].role == Role::bn_count) {
        continue;
      }
      const size_t at = entries[e].is_parameter() ? 0 : 2;
      for (const double value : formula_entry(entries[e], e)) {
        sums[at] += value;
        sums[at + 1] += value * value;
      }
    }
    for (size_t i = 0; i < sums.size(); ++i) {
      EXPECT_NEAR(sums[i], expected.at(i), 1e-9 * (1 + std::abs(expected.at(i)))) << name << " " << i;
    }
  }
}

}  // namespace
}  // namespace yolodist::golden
