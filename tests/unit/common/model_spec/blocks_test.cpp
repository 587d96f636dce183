// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
//
// Parameter counts here are worked out by hand from the blocks' convolutions: c_in / groups * c_out * k * k
// weights and 2 * c_out of the batch norm.
#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "common/model_spec/model_spec.h"

namespace yolodist::model_spec {
namespace {

using testing::ElementsAre;

const std::string top = "nc: 1\ndepth_multiple: 1.0\nwidth_multiple: 1.0\n";
const std::string one_level = "anchors:\n  - [10,13]\n";

ModelSpec parsed(const std::string& text) {
  return parse_model_spec(text, "test.yaml");
}

// A model of the given backbone row after a Conv to 64 channels at stride 2.
ModelSpec with_row(const std::string& row) {
  return parsed(top + one_level + "backbone:\n  - [-1, 1, Conv, [64, 3, 2]]\n  - " + row +
                "\nhead:\n  - [[-1], 1, Detect, [nc, anchors]]\n");
}

std::vector<std::string> conv_names(const LayerSpec& layer) {
  std::vector<std::string> names;
  for (const ConvSpec& conv : layer.convs) {
    names.push_back(conv.name);
  }
  return names;
}

struct Case {
  const char* row;
  int64_t parameters;
  int c_out;
  double stride_px;
};

TEST(Blocks, HaveTheCountsWorkedOutByHand) {
  const Case cases[] = {
      {"[-1, 1, Conv, [32, 3, 2]]", 18496, 32, 4},
      {"[-1, 1, Conv, [32, 1, 1, None, 4, 1, False]]", 576, 32, 2},
      {"[-1, 1, Conv, [32, 3, 1, None, 1, 2]]", 18496, 32, 2},
      {"[-1, 2, Conv, [64, 1, 1]]", 8448, 64, 2},
      {"[-1, 1, DWConv, [96, 3, 2]]", 1920, 96, 4},
      {"[-1, 1, Focus, [32, 3]]", 73792, 32, 4},
      {"[-1, 1, Bottleneck, [64]]", 20672, 64, 2},
      {"[-1, 2, Bottleneck, [64]]", 41344, 64, 2},
      {"[-1, 2, BottleneckCSP, [64]]", 30272, 64, 2},
      {"[-1, 2, C3, [64, False, 1, 0.25]]", 9536, 64, 2},
      {"[-1, 1, GhostConv, [128, 3, 2]]", 38720, 128, 4},
      {"[-1, 1, GhostBottleneck, [64, 3, 1]]", 3440, 64, 2},
      {"[-1, 1, GhostBottleneck, [128, 3, 2]]", 18784, 128, 4},
      {"[-1, 1, C3Ghost, [64]]", 9656, 64, 2},
      {"[-1, 1, SPP, [64, [5, 9, 13]]]", 10432, 64, 2},
      {"[-1, 1, SPP, [64, [3]]]", 6336, 64, 2},
      {"[-1, 1, SPPF, [64, 3]]", 10432, 64, 2},
      {"[-1, 1, nn.Upsample, [None, 2, 'nearest']]", 0, 64, 1},
      {"[[-1, 0], 1, Concat, [1]]", 0, 128, 2},
  };
  for (const auto& [row, parameters, c_out, stride_px] : cases) {
    const ModelSpec spec = with_row(row);
    const LayerSpec& layer = spec.layers[1];
    EXPECT_EQ(layer.parameter_count(), parameters) << row;
    EXPECT_EQ(layer.c_out, c_out) << row;
    EXPECT_EQ(layer.stride_px, stride_px) << row;
  }
}

// One of each. Parameters, entries and strides as PyPI yolov5 7.0.14 makes them from the same text; its state
// dict was also compared name by name and shape by shape.
TEST(Blocks, TogetherHaveTheCountsOfTheOfficialModel) {
  const ModelSpec spec = parsed(R"(
nc: 4
depth_multiple: 1.0
width_multiple: 0.5
activation: nn.LeakyReLU(0.1)
anchors:
  - [10,13, 16,30]
  - [40,50, 80,90]
backbone:
  - [-1, 1, Focus, [64, 3]]
  - [-1, 1, DWConv, [128, 3, 2]]
  - [-1, 2, Bottleneck, [128]]
  - [-1, 2, BottleneckCSP, [128]]
  - [-1, 1, GhostConv, [256, 3, 2]]
  - [-1, 1, GhostBottleneck, [256, 3, 1]]
  - [-1, 1, GhostBottleneck, [512, 3, 2]]
  - [-1, 3, C3Ghost, [512]]
  - [-1, 1, SPP, [512, [5, 9, 13]]]
head:
  - [-1, 2, Conv, [512, 1, 1]]
  - [-1, 1, nn.Upsample, [None, 2, 'nearest']]
  - [[-1, 5], 1, Concat, [1]]
  - [-1, 3, C3, [256, False, 2]]
  - [-1, 1, Bottleneck, [64, False, 1, 0.25]]
  - [[13, 9], 1, Detect, [nc, anchors]]
)");
  EXPECT_EQ(spec.parameter_count(), 796532);
  EXPECT_EQ(spec.entries().size(), 342u);
  EXPECT_THAT(spec.strides_px, ElementsAre(8, 16));
}

TEST(Blocks, ConvArgumentsReachTheTable) {
  const ModelSpec spec = with_row("[-1, 1, Conv, [32, 5, 2, None, 8, 2, False]]");
  const ConvSpec& conv = spec.layers[1].convs.front();
  EXPECT_EQ(conv.kernel, 5);
  EXPECT_EQ(conv.stride, 2);
  EXPECT_EQ(conv.padding, 4);  // (2 * (5 - 1) + 1) / 2
  EXPECT_EQ(conv.groups, 8);
  EXPECT_EQ(conv.dilation, 2);
  EXPECT_FALSE(conv.activated);
  EXPECT_EQ(spec.layers[1].padding, 4);
}

TEST(Blocks, CspHasBareConvolutionsAndANormOfItsOwn) {
  const ModelSpec spec = with_row("[-1, 1, BottleneckCSP, [64]]");
  const LayerSpec& layer = spec.layers[1];
  EXPECT_THAT(conv_names(layer), ElementsAre("model.1.cv1", "model.1.cv2", "model.1.cv3", "model.1.cv4",
                                             "model.1.m.0.cv1", "model.1.m.0.cv2"));
  EXPECT_TRUE(layer.convs[1].bare);
  EXPECT_FALSE(layer.convs[3].bare);
  EXPECT_EQ(layer.entries[6].name, "model.1.cv2.weight");
  EXPECT_EQ(layer.entries[7].name, "model.1.cv3.weight");
  EXPECT_EQ(layer.entries[14].name, "model.1.bn.weight");
  EXPECT_THAT(layer.entries[14].shape, ElementsAre(64));
}

TEST(Blocks, GhostBottleneckHasTheOfficialNames) {
  const ModelSpec spec = with_row("[-1, 1, GhostBottleneck, [128, 3, 2]]");
  const LayerSpec& layer = spec.layers[1];
  EXPECT_THAT(conv_names(layer),
              ElementsAre("model.1.conv.0.cv1", "model.1.conv.0.cv2", "model.1.conv.1", "model.1.conv.2.cv1",
                          "model.1.conv.2.cv2", "model.1.shortcut.0", "model.1.shortcut.1"));
  EXPECT_TRUE(layer.convs[0].activated);
  EXPECT_FALSE(layer.convs[2].activated);
  EXPECT_EQ(layer.convs[2].groups, 64);
}

TEST(Blocks, RepeatedBlocksAreNumbered) {
  EXPECT_THAT(conv_names(with_row("[-1, 2, Bottleneck, [64]]").layers[1]),
              ElementsAre("model.1.0.cv1", "model.1.0.cv2", "model.1.1.cv1", "model.1.1.cv2"));
  EXPECT_THAT(conv_names(with_row("[-1, 1, Focus, [32, 3]]").layers[1]), ElementsAre("model.1.conv"));
}

TEST(Blocks, ShortcutOnlyWhereChannelsAgree) {
  EXPECT_TRUE(with_row("[-1, 1, Bottleneck, [64]]").layers[1].shortcut);
  EXPECT_FALSE(with_row("[-1, 1, Bottleneck, [32]]").layers[1].shortcut);
  EXPECT_FALSE(with_row("[-1, 1, C3, [64, False]]").layers[1].shortcut);
  EXPECT_TRUE(with_row("[-1, 1, C3, [32]]").layers[1].shortcut);
}

TEST(ModelSpec, DepthRoundsHalvesToEven) {
  const auto repeats = [](const std::string& depth, int number) {
    return parsed("nc: 1\ndepth_multiple: " + depth + "\nwidth_multiple: 1\n" + one_level +
                  "backbone: [[-1, " + std::to_string(number) +
                  ", C3, [32]]]\nhead: [[[-1], 1, Detect, [nc, anchors]]]\n")
        .layers[0]
        .repeats;
  };
  EXPECT_EQ(repeats("0.5", 5), 2);
  EXPECT_EQ(repeats("0.5", 3), 2);
  EXPECT_EQ(repeats("0.1", 3), 1);
  EXPECT_EQ(repeats("3.0", 1), 1);
}

TEST(ModelSpec, WidthIsRoundedUpToEightExceptForDetectOutputs) {
  const auto width = [](const std::string& multiple, int channels) {
    return parsed("nc: 2\ndepth_multiple: 1\nwidth_multiple: " + multiple +
                  "\nanchors: [[1,2, 3,4]]\nbackbone: [[-1, 1, Conv, [" + std::to_string(channels) +
                  "]]]\nhead: [[[-1], 1, Detect, [nc, anchors]]]\n")
        .layers[0]
        .c_out;
  };
  EXPECT_EQ(width("0.25", 64), 16);
  EXPECT_EQ(width("0.25", 100), 32);
  EXPECT_EQ(width("1.25", 64), 80);
  EXPECT_EQ(width("0.5", 14), 14);  // 2 anchors * (2 classes + 5)
}

TEST(ModelSpec, AnchorsAreTurnedIntoTheOrderOfTheStrides) {
  const std::string body =
      "backbone:\n  - [-1, 1, Conv, [8, 3, 2]]\n  - [-1, 1, Conv, [8, 3, 2]]\nhead:\n  - [[0, 1], 1, Detect, "
      "[nc, anchors]]\n";
  EXPECT_EQ(parsed(top + "anchors:\n  - [90,90]\n  - [10,10]\n" + body).anchors_px[0][0][0], 10);
  EXPECT_EQ(parsed(top + "anchors:\n  - [10,10]\n  - [90,90]\n" + body).anchors_px[0][0][0], 10);
}

TEST(ModelSpec, ReadsActivations) {
  const auto activation = [](const std::string& written) {
    return parsed(top + "activation: " + written + "\n" + one_level +
                  "backbone: [[-1, 1, Conv, [8]]]\nhead: [[[-1], 1, Detect, [nc, anchors]]]\n")
        .activation;
  };
  EXPECT_EQ(activation("nn.LeakyReLU(0.1)"), "LeakyReLU(0.1)");
  EXPECT_EQ(activation("nn.LeakyReLU()"), "LeakyReLU(0.01)");
  EXPECT_EQ(activation("nn.SiLU()"), "SiLU");
  EXPECT_EQ(activation("nn.ReLU(inplace=True)"), "ReLU");
  EXPECT_EQ(activation("torch.nn.Hardswish()"), "Hardswish");
  EXPECT_EQ(activation("nn.Identity()"), "Identity");
}

TEST(ModelSpec, ActivationAndFractionsSurviveTheText) {
  const ModelSpec spec = parsed(top + "activation: nn.LeakyReLU(0.1)\nanchors: [[1.25,2.5]]\n" +
                                "backbone: [[-1, 1, C3, [8, False, 1, 0.25]]]\n" +
                                "head: [[-1, 1, SPP, [8, [5, 9]]], [[-1], 1, Detect, ['nc', 'anchors']]]\n");
  const ModelSpec again = parsed(spec.yaml_text);
  EXPECT_EQ(again.activation, "LeakyReLU(0.1)");
  EXPECT_EQ(again.yaml_text, spec.yaml_text);
  EXPECT_EQ(again.parameter_count(), spec.parameter_count());
}

TEST(ModelSpec, TakesByteOrderMarkAndWindowsLines) {
  std::string text = "\xEF\xBB\xBF" + top + one_level +
                     "backbone:\n  - [-1, 1, Conv, [8]]\nhead:\n  - [[-1], 1, Detect, [nc, anchors]]\n";
  std::string windows;
  for (const char c : text) {
    windows += c == '\n' ? "\r\n" : std::string(1, c);
  }
  EXPECT_EQ(parsed(windows).layers.size(), 2u);
}

}  // namespace
}  // namespace yolodist::model_spec
