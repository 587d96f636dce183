// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/model_spec/operations.h"

#include <gmock/gmock.h>

#include <map>
#include <set>

#include "common/base/text.h"
#include "tests/support/every_block.h"

namespace yolodist::model_spec {
namespace {

using Kind = Operation::Kind;
using testing::ElementsAre;

constexpr const char* shipped_names[] = {"yolov5n",  "yolov5s",  "yolov5m",  "yolov5l",  "yolov5x",
                                         "yolov5n6", "yolov5s6", "yolov5m6", "yolov5l6", "yolov5x6"};

ModelSpec shipped(const std::string& name) {
  return read_model_spec(YOLODIST_SOURCE_DIR "/share/yolodist/models/" + name + ".yaml");
}

const TensorShape& output_of(const OperationTable& table, const Operation& operation) {
  return table.tensors.at(static_cast<size_t>(operation.output));
}

const TensorShape& input_of(const OperationTable& table, const Operation& operation, size_t i = 0) {
  return table.tensors.at(static_cast<size_t>(operation.inputs.at(i)));
}

int channels_of_inputs(const OperationTable& table, const Operation& operation) {
  int sum = 0;
  for (size_t i = 0; i < operation.inputs.size(); ++i) {
    sum += input_of(table, operation, i).channels;
  }
  return sum;
}

bool have_one_size(const TensorShape& a, const TensorShape& b) {
  return a.height == b.height && a.width == b.width;
}

void expect_shape_follows(const OperationTable& table, const Operation& operation) {
  const TensorShape& in = input_of(table, operation);
  const TensorShape& out = output_of(table, operation);
  switch (operation.kind) {
    case Kind::conv:
      ASSERT_NE(operation.conv, nullptr);
      EXPECT_EQ(in.channels, operation.conv->c_in);
      EXPECT_EQ(out.channels, operation.conv->c_out);
      EXPECT_EQ(out.height, in.height / operation.conv->stride);
      EXPECT_EQ(out.width, in.width / operation.conv->stride);
      return;
    case Kind::concat:
      EXPECT_EQ(channels_of_inputs(table, operation), out.channels);
      for (size_t i = 0; i < operation.inputs.size(); ++i) {
        EXPECT_TRUE(have_one_size(input_of(table, operation, i), out));
      }
      return;
    case Kind::add:
      ASSERT_EQ(operation.inputs.size(), 2u);
      EXPECT_EQ(in.elements(), out.elements());
      EXPECT_EQ(input_of(table, operation, 1).elements(), out.elements());
      return;
    case Kind::normalise:
    case Kind::max_pool:
      EXPECT_EQ(in.channels, out.channels);
      EXPECT_TRUE(have_one_size(in, out));
      return;
    case Kind::upsample:
      EXPECT_EQ(4 * in.elements(), out.elements());
      return;
    case Kind::space_to_depth:
      EXPECT_EQ(out.channels, 4 * in.channels);
      EXPECT_EQ(in.elements(), out.elements());
      return;
    case Kind::detect:
      EXPECT_EQ(operation.conv, nullptr);
      EXPECT_TRUE(have_one_size(in, out));
      return;
  }
}

// What holds for any model: each operation takes what was made before it and makes one new tensor; each
// convolution of the layer table runs once; what layers hand on has the layer table's shape.
void expect_sound(const ModelSpec& spec, int height_px, int width_px) {
  const OperationTable table = operations_of(spec, height_px, width_px);
  EXPECT_EQ(table.tensors.at(0).elements(), int64_t{3} * height_px * width_px);
  ASSERT_EQ(table.tensors.size(), table.operations.size() + 1);
  std::multiset<const ConvSpec*> run;
  int layer = 0, made = 0;
  for (const Operation& operation : table.operations) {
    SCOPED_TRACE(cat(spec.name, ", layer ", operation.layer, ", tensor ", operation.output));
    for (const int input : operation.inputs) {
      EXPECT_GE(input, 0);
      EXPECT_LE(input, made);
    }
    EXPECT_EQ(operation.output, ++made);
    EXPECT_GE(operation.layer, layer);
    layer = operation.layer;
    expect_shape_follows(table, operation);
    if (operation.conv != nullptr) {
      run.insert(operation.conv);
    }
  }
  std::multiset<const ConvSpec*> expected;
  ASSERT_EQ(table.output_of_layer.size(), spec.layers.size());
  for (const LayerSpec& of : spec.layers) {
    SCOPED_TRACE(cat(spec.name, ", layer ", of.index, " ", of.block));
    for (const ConvSpec& conv : of.convs) {
      expected.insert(&conv);
    }
    const int output = table.output_of_layer[static_cast<size_t>(of.index)];
    if (of.block == "Detect") {
      EXPECT_EQ(output, -1);
      continue;
    }
    const TensorShape& shape = table.tensors.at(static_cast<size_t>(output));
    EXPECT_EQ(shape.channels, of.c_out);
    EXPECT_EQ(shape.height, static_cast<int>(height_px / of.stride_px));
    EXPECT_EQ(shape.width, static_cast<int>(width_px / of.stride_px));
  }
  EXPECT_EQ(run, expected);
}

std::map<Kind, int> counts_of(const OperationTable& table) {
  std::map<Kind, int> counts;
  for (const Operation& operation : table.operations) {
    ++counts[operation.kind];
  }
  return counts;
}

TEST(Operations, OfTheShippedModelsFollowTheLayerTable) {
  for (const char* name : shipped_names) {
    const ModelSpec spec = shipped(name);
    expect_sound(spec, 640, 640);
    expect_sound(spec, 2 * spec.max_stride_px(), 5 * spec.max_stride_px());
  }
}

TEST(Operations, OfEveryBlockFollowTheLayerTable) {
  const ModelSpec spec = test::every_block("nn.SiLU()");
  expect_sound(spec, 64, 64);
  expect_sound(spec, 32, 96);
}

// Twice the multiplications of all convolutions, in units of 10^9.
// Source of the expected: ultralytics/yolov5 v7.0 README.md, "FLOPs @640 (B)".
TEST(Operations, OfTheShippedModelsTakeTheFlopsOfTheOfficialTable) {
  const std::map<std::string, double> official = {
      {"yolov5n", 4.5},  {"yolov5s", 16.5},  {"yolov5m", 49.0},  {"yolov5l", 109.1},  {"yolov5x", 205.7},
      {"yolov5n6", 4.6}, {"yolov5s6", 16.8}, {"yolov5m6", 50.0}, {"yolov5l6", 111.4}, {"yolov5x6", 209.8}};
  for (const auto& [name, flops] : official) {
    const ModelSpec spec = shipped(name);
    const OperationTable table = operations_of(spec, 640, 640);
    double sum = 0;
    for (const Operation& operation : table.operations) {
      const auto out = static_cast<double>(output_of(table, operation).elements());
      if (operation.kind == Kind::conv) {
        const ConvSpec& conv = *operation.conv;
        sum += 2 * out * conv.c_in / conv.groups * conv.kernel * conv.kernel;
      } else if (operation.kind == Kind::detect) {
        sum += 2 * out * input_of(table, operation).channels;
      }
    }
    EXPECT_NEAR(sum / 1e9, flops, 0.02 * flops) << name;
  }
}

TEST(Operations, OfYolov5nAreThoseOfItsYaml) {
  const ModelSpec spec = shipped("yolov5n");
  const OperationTable table = operations_of(spec, 640, 320);
  // Concatenations: 4 of the head, 8 of the C3, 1 of SPPF. Sums: 1 + 2 + 3 + 1 bottlenecks of the backbone.
  const std::map<Kind, int> expected = {{Kind::conv, 57},    {Kind::add, 7},      {Kind::concat, 13},
                                        {Kind::upsample, 2}, {Kind::max_pool, 3}, {Kind::detect, 3}};
  EXPECT_EQ(counts_of(table), expected);
  std::vector<int> heights;
  for (const Operation& operation : table.operations) {
    if (operation.kind == Kind::detect) {
      EXPECT_EQ(output_of(table, operation).channels, 3 * 85);
      EXPECT_EQ(operation.layer, 24);
      heights.push_back(output_of(table, operation).height);
      EXPECT_EQ(output_of(table, operation).width * 2, heights.back());
    }
  }
  EXPECT_THAT(heights, ElementsAre(80, 40, 20));
}

// "conv cv1(0)": kind, the convolution's name within its layer, and where the inputs come from: the number of
// operations back, or L and a layer.
std::vector<std::string> text_of(const ModelSpec& spec, const OperationTable& table, int layer) {
  constexpr const char* names[] = {"conv",     "normalise", "add",      "concat",
                                   "upsample", "pool",      "quarters", "detect"};
  const std::string prefix = cat("model.", layer);
  std::vector<std::string> lines;
  for (const Operation& operation : table.operations) {
    if (operation.layer != layer) {
      continue;
    }
    std::string line = names[static_cast<size_t>(operation.kind)];
    if (operation.conv != nullptr) {
      EXPECT_EQ(operation.conv->name.substr(0, prefix.size()), prefix);
      line += operation.conv->name.substr(prefix.size());
    }
    for (const int input : operation.inputs) {
      std::string from = cat("-", operation.output - input);
      for (const LayerSpec& other : spec.layers) {
        if (other.index < layer && table.output_of_layer[static_cast<size_t>(other.index)] == input) {
          from = cat("L", other.index);
        }
      }
      line += " " + from;
    }
    lines.push_back(line);
  }
  return lines;
}

TEST(Operations, OfEachBlockRunAsTheWorkerRunsThem) {
  const ModelSpec spec = test::every_block("nn.SiLU()");
  const OperationTable table = operations_of(spec, 64, 64);
  const auto layer = [&](int index) { return text_of(spec, table, index); };
  EXPECT_THAT(layer(0), ElementsAre("quarters -1", "conv.conv -1"));
  EXPECT_THAT(layer(1), ElementsAre("conv L0"));
  EXPECT_THAT(layer(2),
              ElementsAre("conv.cv1 L1", "conv.m.0.cv1 -1", "conv.m.0.cv2 -1", "add -3 -1", "conv.m.1.cv1 -1",
                          "conv.m.1.cv2 -1", "add -3 -1", "conv.cv2 L1", "concat -2 -1", "conv.cv3 -1"));
  EXPECT_THAT(layer(3), ElementsAre("conv L2"));
  EXPECT_THAT(layer(4), ElementsAre("conv.0.cv1 L3", "conv.0.cv2 -1", "add L3 -1", "conv.1.cv1 -1",
                                    "conv.1.cv2 -1", "add -3 -1"));
  EXPECT_THAT(layer(5), ElementsAre("conv.cv1 L4", "conv.cv2 -1"));
  EXPECT_THAT(layer(6), ElementsAre("conv.cv1 L5", "conv.cv2 -1", "concat -2 -1"));
  EXPECT_THAT(layer(7), ElementsAre("conv.conv.0.cv1 L6", "conv.conv.0.cv2 -1", "concat -2 -1",
                                    "conv.conv.2.cv1 -1", "conv.conv.2.cv2 -1", "concat -2 -1", "add -1 L6"));
  EXPECT_THAT(layer(8), ElementsAre("conv.cv1 L7", "conv.m.0.cv1 -1", "conv.m.0.cv2 -1", "add -3 -1",
                                    "conv.m.1.cv1 -1", "conv.m.1.cv2 -1", "add -3 -1", "conv.cv3 -1",
                                    "conv.cv2 L7", "concat -2 -1", "normalise -1", "conv.cv4 -1"));
  EXPECT_THAT(layer(9), ElementsAre("conv.cv1 L8", "pool -1", "pool -2", "concat -3 -2 -1", "conv.cv2 -1"));
  EXPECT_THAT(layer(11),
              ElementsAre("conv.conv.0.cv1 L10", "conv.conv.0.cv2 -1", "concat -2 -1", "conv.conv.1 -1",
                          "conv.shortcut.0 L10", "conv.shortcut.1 -1", "conv.conv.2.cv1 -3",
                          "conv.conv.2.cv2 -1", "concat -2 -1", "add -1 -4"));
  EXPECT_THAT(layer(12).size(), 1 + 2 * 7 + 3u);
  EXPECT_THAT(layer(13), ElementsAre("conv.cv1 L12", "pool -1", "pool -1", "pool -1", "concat -4 -3 -2 -1",
                                     "conv.cv2 -1"));
  EXPECT_THAT(layer(14), ElementsAre("upsample L13"));
  EXPECT_THAT(layer(15), ElementsAre("concat L14 L10 L9 L8"));
  EXPECT_THAT(layer(16), testing::Not(testing::Contains(testing::StartsWith("add")))) << "without shortcuts";
  EXPECT_THAT(layer(17), ElementsAre("conv.0 L16", "conv.1 -1"));
  EXPECT_THAT(layer(18), ElementsAre("detect L17", "detect L13"));
}

}  // namespace
}  // namespace yolodist::model_spec
