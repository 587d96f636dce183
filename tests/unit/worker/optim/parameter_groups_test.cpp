// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/optim/parameter_groups.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "common/base/error.h"
#include "tests/support/thrown.h"

namespace yolodist::optim {
namespace {

std::array<size_t, group_count> group_sizes(const std::string& name) {
  std::array<size_t, group_count> sizes{};
  const auto spec = model_spec::read_model_spec(std::filesystem::path(YOLODIST_SOURCE_DIR) /
                                                "share/yolodist/models" / (name + ".yaml"));
  for (const model_spec::StateEntry& entry : spec.entries()) {
    if (entry.is_parameter()) {
      ++sizes[static_cast<size_t>(group_of(entry))];
    }
  }
  return sizes;
}

// Of YOLOv5 v7.0: biases, decayed weights, batch norm weights.
TEST(ParameterGroups, HaveYolov5sSizes) {
  EXPECT_EQ(group_sizes("yolov5s"), (std::array<size_t, 3>{60, 60, 57}));
  EXPECT_EQ(group_sizes("yolov5l"), (std::array<size_t, 3>{104, 104, 101}));
  EXPECT_EQ(group_sizes("yolov5l6"), (std::array<size_t, 3>{135, 135, 131}));
}

TEST(ParameterGroups, AreOfParametersOnly) {
  using Role = model_spec::StateEntry::Role;
  EXPECT_EQ(group_of({"model.0.bn.bias", Role::bn_bias, {4}}), Group::bias);
  EXPECT_EQ(group_of({"model.24.m.0.bias", Role::conv_bias, {4}}), Group::bias);
  EXPECT_EQ(group_of({"model.0.conv.weight", Role::conv_weight, {4, 3, 1, 1}}), Group::decayed_weight);
  EXPECT_EQ(group_of({"model.0.bn.weight", Role::bn_weight, {4}}), Group::norm_weight);
  EXPECT_THROW(group_of({"model.0.bn.running_mean", Role::bn_mean, {4}}), InternalError);
  EXPECT_THROW(group_of({"model.24.anchors", Role::anchors, {3, 3, 2}}), InternalError);
}

std::vector<int> frozen(const std::vector<int>& freeze) {
  const std::vector<bool> flags = frozen_layers(freeze, 25);
  EXPECT_EQ(flags.size(), 25U);
  std::vector<int> layers;
  for (int i = 0; i < 25; ++i) {
    if (flags[static_cast<size_t>(i)]) {
      layers.push_back(i);
    }
  }
  return layers;
}

TEST(Freeze, OneNumberIsThatManyLayersAndSeveralAreThose) {
  EXPECT_EQ(frozen({0}), std::vector<int>{}) << "the default";
  EXPECT_EQ(frozen({1}), std::vector<int>{0});
  EXPECT_EQ(frozen({10}), (std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
  EXPECT_EQ(frozen({3, 5, 24}), (std::vector<int>{3, 5, 24}));
  EXPECT_EQ(frozen({0, 0}), std::vector<int>{0});
  EXPECT_EQ(frozen({}), std::vector<int>{});
}

TEST(Freeze, NamesALayerThatIsNotThere) {
  for (const std::vector<int>& freeze : {std::vector<int>{26}, {3, 25}, {3, -1}}) {
    const std::string message = test::thrown<UsageError>([&] { frozen_layers(freeze, 25); });
    EXPECT_NE(message.find("--freeze"), std::string::npos) << message;
    EXPECT_NE(message.find("0 to 24"), std::string::npos) << message;
  }
  EXPECT_EQ(frozen_layers({25}, 25), std::vector<bool>(25, true));
}

// The peer looks for "model.K." in the name: layer 1 is not layer 12.
TEST(Freeze, ReadsTheLayerFromTheName) {
  EXPECT_EQ(layer_of("model.1.conv.weight"), 1);
  EXPECT_EQ(layer_of("model.12.cv1.bn.weight"), 12);
  EXPECT_EQ(layer_of("model.24.m.1.bias"), 24);
}

}  // namespace
}  // namespace yolodist::optim
