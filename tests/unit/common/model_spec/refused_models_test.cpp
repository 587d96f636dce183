// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include <string>

#include <gmock/gmock.h>

#include "common/model_spec/model_spec.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/thrown.h"

namespace yolodist::model_spec {
namespace {

using test::TemporaryFolder;
using test::thrown;
using testing::AllOf;
using testing::HasSubstr;

std::string refusal(const std::string& text) {
  return thrown<DataError>([&] { parse_model_spec(text, "m.yaml"); });
}

// Line by line: nc 1, depth 2, width 3, anchors 4, backbone 5, its rows 6 and 7, head 8, its rows from 9.
struct Model {
  std::string nc = "nc: 2";
  std::string depth = "depth_multiple: 1.0";
  std::string width = "width_multiple: 1.0";
  std::string anchors = "anchors: [[10,13, 16,30]]";
  std::string row6 = "[-1, 1, Conv, [16, 3, 2]]";
  std::string row7 = "[-1, 1, C3, [16]]";
  std::string row9 = "[-1, 1, Conv, [16, 3, 2]]";
  std::string row10 = "[[2], 1, Detect, [nc, anchors]]";

  std::string text() const {
    return nc + "\n" + depth + "\n" + width + "\n" + anchors + "\nbackbone:\n  - " + row6 + "\n  - " + row7 +
           "\nhead:\n  - " + row9 + "\n  - " + row10 + "\n";
  }
};

TEST(RefusedModels, TheModelTheyAreMadeFromIsFine) {
  EXPECT_EQ(refusal(Model().text()), "");
  EXPECT_EQ(refusal(Model{.row10 = "[-1, 1, Detect, [2, anchors]]"}.text()), "");
}

TEST(RefusedModels, RowsAreRefusedWithTheirLine) {
  const struct {
    const char* row;
    const char* message;
  } cases[] = {
      {"[-1, 1, Cnov, [16]]", "unknown block 'Cnov'; known are Conv, DWConv"},
      {"[-1, 1, Cnov, [16]]", "Did you mean Conv?"},
      {"[-1, 1, C3TR, [16]]", "nn.Upsample, Detect"},
      {"[-1, 1, Upsample, [None, 2, nearest]]", "unknown block 'Upsample'"},
      {"[-1, 1, nn.Conv, [16]]", "unknown block 'nn.Conv'"},
      {"[5, 1, Conv, [16]]", "layer 1 takes layer 5"},
      {"[1, 1, Conv, [16]]", "layer 1 takes layer 1"},
      {"[-3, 1, Conv, [16]]", "layer 1 takes layer -3"},
      {"[[-1, 7], 1, Concat, [1]]", "layer 1 takes layer 7"},
      {"[[-1, 0], 1, Conv, [16]]", "Conv: takes one source"},
      {"[-1, 1, Conv]", "a list of four"},
      {"[-1, 1, Conv, [16], 3]", "a list of four"},
      {"Conv", "a list of four"},
      {"[a, 1, Conv, [16]]", "the source of a layer should be an integer, is 'a'"},
      {"[[], 1, Conv, [16]]", "needs a source"},
      {"[-1, 0, Conv, [16]]", "the number of a layer should be from 1"},
      {"[-1, 1.5, C3, [16]]", "the number of a layer should be an integer"},
      {"[-1, 1, [Conv], [16]]", "the module of a layer should be text"},
      {"[-1, 1, Conv, 16]", "the arguments of a layer should be a list"},
      {"[-1, 1, Conv, [{a: 1}]]", "a number, a word or a list"},
      {"[-1, 1, Conv, []]", "Conv: argument 1 (channels) is missing"},
      {"[-1, 1, Conv, [0]]", "Conv: argument 1 (channels) should be an integer from 1"},
      {"[-1, 1, Conv, [wide]]", "is 'wide'"},
      {"[-1, 1, Conv, [16.5]]", "is 16.5"},
      {"[-1, 1, Conv, [16, 3, 2, 1, 3]]", "in 3 groups is not possible"},
      {"[-1, 1, Conv, [16, 3, 2, 1, 1, 1, True, 9]]", "takes at most 7 arguments, has 8"},
      {"[-1, 1, Conv, [16, 200, 1, 0]]", "larger than what is left of a picture of 256 px"},
      {"[-1, 1, Conv, [16, 3, 1, 1, 1, 1, relu]]", "should be True or False, is 'relu'"},
      {"[-1, 1, C3, [16, 3]]", "argument 2 (shortcut) should be True or False"},
      {"[-1, 1, C3, [16, True, 1, 0.01]]", "leaves 0 hidden channels"},
      {"[-1, 1, C3, [16, True, 1, half]]", "argument 4 (expansion) should be a number"},
      {"[-1, 1, SPPF, [16, 4]]", "take an odd one"},
      {"[-1, 1, SPP, [16, 5]]", "argument 2 (kernels) should be a list"},
      {"[-1, 1, SPP, [16, [5, x]]]", "argument 2 (kernels) should be a list"},
      {"[-1, 2, Bottleneck, [32]]", "repeated 2 times, it should keep its 16 channels, gives 32"},
      {"[-1, 2, Concat, [1]]", "cannot be repeated"},
      {"[-1, 1, Concat, [2]]", "argument 1 (dimension)"},
      {"[-1, 1, nn.Upsample, [None, 2, bilinear]]", "only [None, scale, 'nearest']"},
      {"[-1, 1, nn.Upsample, [640]]", "only [None, scale, 'nearest']"},
      {"[-1, 1, nn.Upsample, [None, 1.5, nearest]]", "argument 2 (scale)"},
      {"[-1, 9, nn.Upsample, [None, 64, nearest]]", "the most is 65536"},
      {"[-1, 1, GhostBottleneck, [32]]", "its input, but that has 16 channels and the output 32"},
      {"[-1, 1, GhostBottleneck, [32, 3, 3]]", "argument 3 (stride) should be an integer from 1 to 2"},
      {"[-1, 1, Detect, [nc, anchors]]", "Detect can only be the last layer"},
  };
  for (const auto& [row, message] : cases) {
    EXPECT_THAT(refusal(Model{.row7 = row}.text()), AllOf(HasSubstr("m.yaml:7: "), HasSubstr(message)))
        << row;
  }
}

TEST(RefusedModels, TheFirstLayerTakesThePicture) {
  EXPECT_THAT(refusal(Model{.row6 = "[0, 1, Conv, [16]]"}.text()),
              AllOf(HasSubstr("m.yaml:6: "), HasSubstr("takes -1, the picture")));
}

TEST(RefusedModels, SourcesOfAConcatAreOfOneSize) {
  EXPECT_THAT(refusal(Model{.row7 = "[-1, 1, Conv, [16, 3, 2]]", .row9 = "[[-1, 0], 1, Concat, [1]]"}.text()),
              AllOf(HasSubstr("m.yaml:9: "), HasSubstr("256 px become 64 and 128 cells")));
}

TEST(RefusedModels, DetectIsLastAndFits) {
  const auto expect = [](const std::string& row, const std::string& message) {
    EXPECT_THAT(refusal(Model{.row10 = row}.text()), HasSubstr(message)) << row;
  };
  expect("[-1, 1, Conv, [16]]", "m.yaml:10: Conv: the last layer should be Detect");
  expect("[-1, 1, Segment, [nc, anchors]]", "m.yaml:10: unknown block 'Segment'");
  expect("[[1, 2], 1, Detect, [nc, anchors]]", "m.yaml:4: anchors has 1 levels, but Detect has 2 sources");
  expect("[[2], 1, Detect, [80, anchors]]", "m.yaml:10: Detect: has 80 classes, the model 2");
  expect("[[2], 1, Detect, [nc]]", "m.yaml:10: Detect: argument 2 should be the word anchors");
  expect("[[2], 2, Detect, [nc, anchors]]", "m.yaml:10: Detect: cannot be repeated");
}

TEST(RefusedModels, StridesAreWholeAndAscend) {
  EXPECT_THAT(refusal(Model{.row9 = "[-1, 1, Conv, [16, 6, 2]]"}.text()),
              AllOf(HasSubstr("m.yaml:10: "), HasSubstr("no whole stride")));
  EXPECT_THAT(
      refusal(
          Model{.anchors = "anchors: [[1,1], [2,2]]", .row10 = "[[2, 1], 1, Detect, [nc, anchors]]"}.text()),
      AllOf(HasSubstr("m.yaml:10: "), HasSubstr("have 4 and then 2")));
}

TEST(RefusedModels, RepeatsStayWithinReason) {
  EXPECT_THAT(refusal(Model{.depth = "depth_multiple: 100", .row7 = "[-1, 1000, C3, [16]]"}.text()),
              AllOf(HasSubstr("m.yaml:7: C3: repeated 100000 times"), HasSubstr("depth_multiple")));
  EXPECT_EQ(refusal(Model{.row7 = "[-1, 1000, C3, [16]]"}.text()), "");
}

TEST(RefusedModels, TopKeysAreChecked) {
  EXPECT_THAT(refusal(Model{.nc = "ch: 3"}.text()), HasSubstr("m.yaml: nc is missing"));
  EXPECT_THAT(refusal(Model{.nc = "nc: 0"}.text()), HasSubstr("m.yaml:1: nc should be from 1"));
  EXPECT_THAT(refusal(Model{.nc = "nc: '2'"}.text()), HasSubstr("m.yaml:1: nc should be an integer"));
  EXPECT_THAT(refusal(Model{.nc = "nc: 2\n  x: 1"}.text()), HasSubstr("m.yaml:2: not valid yaml"));
  EXPECT_THAT(refusal(Model{.nc = "nc: 2\nch: 1"}.text()), HasSubstr("m.yaml:2: ch should be 3"));
  EXPECT_THAT(refusal(Model{.depth = "# none"}.text()), HasSubstr("depth_multiple is missing"));
  EXPECT_THAT(refusal(Model{.depth = "depth_multiple: -1"}.text()),
              HasSubstr("m.yaml:2: depth_multiple should be more than 0"));
  EXPECT_THAT(refusal(Model{.width = "width_multiple: wide"}.text()),
              HasSubstr("m.yaml:3: width_multiple should be a number"));
  EXPECT_THAT(refusal(Model{.width = "width_multiple: 1\nactivation: nn.Mish()"}.text()),
              HasSubstr("m.yaml:4: unknown activation 'nn.Mish()'"));
  EXPECT_THAT(refusal(Model{.width = "width_multiple: 1\nactivation: nn.LeakyReLU(x)"}.text()),
              HasSubstr("m.yaml:4: unknown activation"));
  EXPECT_THAT(refusal(Model{.depth = "nc: 3"}.text()),
              AllOf(HasSubstr("m.yaml:2"), HasSubstr("second time")));
}

TEST(RefusedModels, AnchorsAreChecked) {
  EXPECT_THAT(refusal(Model{.anchors = "anchors: 3"}.text()),
              AllOf(HasSubstr("m.yaml:4"), HasSubstr("AutoAnchor")));
  EXPECT_THAT(refusal(Model{.anchors = "# none"}.text()), HasSubstr("anchors is missing"));
  EXPECT_THAT(refusal(Model{.anchors = "anchors: [[10,13,16]]"}.text()),
              HasSubstr("m.yaml:4: the anchors of a level"));
  EXPECT_THAT(refusal(Model{.anchors = "anchors: [[10,-13]]"}.text()),
              HasSubstr("m.yaml:4: the sides of an anchor"));
  EXPECT_THAT(refusal(Model{.anchors = "anchors: [[10,x]]"}.text()),
              HasSubstr("m.yaml:4: an anchor's height"));
  EXPECT_THAT(refusal(Model{.anchors = "anchors: [[1,2], [1,2,3,4]]"}.text()),
              HasSubstr("this level has 2 anchors, the first 1"));
  EXPECT_THAT(refusal(Model{.anchors = "anchors: []"}.text()), HasSubstr("m.yaml:4"));
  EXPECT_THAT(refusal(Model{.anchors = "anchors: yes"}.text()), HasSubstr("m.yaml:4"));
}

TEST(RefusedModels, FilesThatAreNoModelAreRefused) {
  const TemporaryFolder folder;
  EXPECT_THAT(thrown<DataError>([&] { read_model_spec(folder / "none.yaml"); }), HasSubstr("none.yaml"));
  EXPECT_THAT(thrown<DataError>([&] { read_model_spec(folder.path()); }), HasSubstr("is a folder"));
  EXPECT_THAT(refusal(""), HasSubstr("m.yaml"));
  EXPECT_THAT(refusal("nc: 2\nbackbone: [[\n"), HasSubstr("not valid yaml"));
  EXPECT_THAT(refusal("path: .\ntrain: images/train\nnc: 1\nnames: [a]\n"),
              HasSubstr("depth_multiple is missing"));
  const std::string no_head = refusal(
      "nc: 1\ndepth_multiple: 1\nwidth_multiple: 1\nanchors: [[1,2]]\nbackbone: [[-1, 1, Conv, [8]]]\n");
  EXPECT_THAT(no_head, HasSubstr("head should be a list of layers, is nothing"));
}

TEST(RefusedModels, ClassCountOverridesTheYaml) {
  EXPECT_EQ(parse_model_spec(Model().text(), "m.yaml", 7).class_count, 7);
  EXPECT_EQ(parse_model_spec(Model{.nc = "ch: 3"}.text(), "m.yaml", 7).class_count, 7);
}

}  // namespace
}  // namespace yolodist::model_spec
