// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
//
// The numbers are those of ultralytics/yolov5 v7.0, recounted from its layer tables.
#include <map>
#include <ostream>
#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "common/model_spec/model_spec.h"

namespace yolodist::model_spec {
namespace {

using testing::ElementsAre;

ModelSpec shipped(const std::string& name, int class_count = 0) {
  return read_model_spec(
      std::filesystem::path(YOLODIST_SOURCE_DIR) / "share/yolodist/models" / (name + ".yaml"), class_count);
}

struct Expected {
  const char* name;
  int64_t parameters;
  size_t entries;
  size_t convs;  // Conv + batch norm blocks
  std::vector<int> detect_channels;
};
std::ostream& operator<<(std::ostream& out, const Expected& expected) {
  return out << expected.name;
}

class ShippedModels : public testing::TestWithParam<Expected> {};

TEST_P(ShippedModels, HaveTheOfficialCounts) {
  const ModelSpec spec = shipped(GetParam().name);
  size_t convs = 0;
  for (const LayerSpec& layer : spec.layers) {
    convs += layer.convs.size();
  }
  EXPECT_EQ(spec.name, GetParam().name);
  EXPECT_EQ(spec.class_count, 80);
  EXPECT_EQ(spec.activation, "SiLU");
  EXPECT_EQ(spec.parameter_count(), GetParam().parameters);
  EXPECT_EQ(spec.entries().size(), GetParam().entries);
  EXPECT_EQ(convs, GetParam().convs);
  EXPECT_EQ(spec.layers.back().c_in, GetParam().detect_channels);
}

TEST_P(ShippedModels, TextOfTheDefinitionGivesTheSameModel) {
  const ModelSpec spec = shipped(GetParam().name, 3);
  const ModelSpec again = parse_model_spec(spec.yaml_text, spec.name);
  EXPECT_EQ(again.class_count, 3);
  EXPECT_EQ(again.parameter_count(), spec.parameter_count());
  EXPECT_EQ(again.anchors_px, spec.anchors_px);
  EXPECT_EQ(again.yaml_text, spec.yaml_text);
}

TEST_P(ShippedModels, ConvolutionsHoldAllParametersButThoseOfDetect) {
  for (const LayerSpec& layer : shipped(GetParam().name).layers) {
    int64_t in_convs = 0;
    for (const ConvSpec& conv : layer.convs) {
      in_convs += static_cast<int64_t>(conv.c_in / conv.groups) * conv.c_out * conv.kernel * conv.kernel +
                  2 * conv.c_out;
    }
    if (layer.block != "Detect") {
      EXPECT_EQ(layer.parameter_count(), in_convs) << layer.index;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, ShippedModels,
                         testing::Values(Expected{"yolov5n", 1872157, 349, 57, {64, 128, 256}},
                                         Expected{"yolov5s", 7235389, 349, 57, {128, 256, 512}},
                                         Expected{"yolov5m", 21190557, 481, 79, {192, 384, 768}},
                                         Expected{"yolov5l", 46563709, 613, 101, {256, 512, 1024}},
                                         Expected{"yolov5x", 86749405, 745, 123, {320, 640, 1280}},
                                         Expected{"yolov5n6", 3246940, 459, 75, {64, 128, 192, 256}},
                                         Expected{"yolov5s6", 12626620, 459, 75, {128, 256, 384, 512}},
                                         Expected{"yolov5m6", 35731932, 627, 103, {192, 384, 576, 768}},
                                         Expected{"yolov5l6", 76770172, 795, 131, {256, 512, 768, 1024}},
                                         Expected{"yolov5x6", 140794780, 963, 159, {320, 640, 960, 1280}}),
                         [](const auto& tested) { return std::string(tested.param.name); });

TEST(ModelSpec, OtherClassCountsHaveTheOfficialParameterCounts) {
  EXPECT_EQ(shipped("yolov5s", 1).parameter_count(), 7022326);
  EXPECT_EQ(shipped("yolov5s", 20).parameter_count(), 7073569);
  EXPECT_EQ(shipped("yolov5l6", 1).parameter_count(), 76162504);
  EXPECT_EQ(shipped("yolov5l6", 20).parameter_count(), 76308652);
}

void expect_layer_parameters(const ModelSpec& spec, const std::map<int, int64_t>& expected) {
  for (const LayerSpec& layer : spec.layers) {
    const auto found = expected.find(layer.index);
    EXPECT_EQ(layer.parameter_count(), found == expected.end() ? 0 : found->second)
        << spec.name << " layer " << layer.index;
  }
}

TEST(ModelSpec, SHasTheOfficialCountsInEveryLayer) {
  expect_layer_parameters(shipped("yolov5s"), {{0, 3520},
                                               {1, 18560},
                                               {2, 18816},
                                               {3, 73984},
                                               {4, 115712},
                                               {5, 295424},
                                               {6, 625152},
                                               {7, 1180672},
                                               {8, 1182720},
                                               {9, 656896},
                                               {10, 131584},
                                               {13, 361984},
                                               {14, 33024},
                                               {17, 90880},
                                               {18, 147712},
                                               {20, 296448},
                                               {21, 590336},
                                               {23, 1182720},
                                               {24, 229245}});
}

TEST(ModelSpec, L6HasTheOfficialCountsInEveryLayer) {
  expect_layer_parameters(shipped("yolov5l6"),
                          {{0, 7040},     {1, 73984},    {2, 156928},   {3, 295424},    {4, 1118208},
                           {5, 1180672},  {6, 6433792},  {7, 3540480},  {8, 5611008},   {9, 7079936},
                           {10, 9971712}, {11, 2624512}, {12, 787968},  {15, 6200832},  {16, 394240},
                           {19, 2757632}, {20, 131584},  {23, 690688},  {24, 590336},   {26, 2495488},
                           {27, 2360320}, {29, 5807616}, {30, 5309952}, {32, 10496000}, {33, 653820}});
}

std::vector<int> saved_indices(const ModelSpec& spec) {
  std::vector<int> indices;
  const std::vector<bool> saved = spec.saved();
  for (size_t i = 0; i < saved.size(); ++i) {
    if (saved[i]) {
      indices.push_back(static_cast<int>(i));
    }
  }
  return indices;
}

TEST(ModelSpec, SavesWhatALaterLayerNeeds) {
  EXPECT_THAT(saved_indices(shipped("yolov5m")), ElementsAre(4, 6, 10, 14, 17, 20, 23));
  EXPECT_THAT(saved_indices(shipped("yolov5m6")), ElementsAre(4, 6, 8, 12, 16, 20, 23, 26, 29, 32));
}

TEST(ModelSpec, StridesFollowFromTheLayers) {
  const ModelSpec p5 = shipped("yolov5n"), p6 = shipped("yolov5n6");
  EXPECT_THAT(p5.strides_px, ElementsAre(8, 16, 32));
  EXPECT_THAT(p6.strides_px, ElementsAre(8, 16, 32, 64));
  EXPECT_EQ(p6.max_stride_px(), 64);
  EXPECT_EQ(p5.level_count(), 3);
  EXPECT_EQ(p5.anchors_per_level(), 3);
  EXPECT_EQ(p5.outputs_per_anchor(), 85);
  EXPECT_EQ(p5.layers[0].stride_px, 2);
  EXPECT_EQ(p5.layers[9].stride_px, 32);
  EXPECT_EQ(p5.layers[16].stride_px, 8);
}

TEST(ModelSpec, AnchorsAreThoseOfTheYaml) {
  const ModelSpec spec = shipped("yolov5x");
  EXPECT_EQ(spec.anchors_px[0][0], (std::array<double, 2>{10, 13}));
  EXPECT_EQ(spec.anchors_px[2][2], (std::array<double, 2>{373, 326}));
}

TEST(ModelSpec, EntriesHaveOfficialNamesShapesAndOrder) {
  const ModelSpec spec = shipped("yolov5n", 2);
  const std::vector<StateEntry> entries = spec.entries();
  std::vector<std::string> names;
  for (const StateEntry& entry : entries) {
    names.push_back(entry.name);
  }
  const auto first = [&](size_t from, size_t count) {
    return std::vector<std::string>(names.begin() + static_cast<long>(from),
                                    names.begin() + static_cast<long>(from + count));
  };
  EXPECT_THAT(first(0, 7), ElementsAre("model.0.conv.weight", "model.0.bn.weight", "model.0.bn.bias",
                                       "model.0.bn.running_mean", "model.0.bn.running_var",
                                       "model.0.bn.num_batches_tracked", "model.1.conv.weight"));
  std::vector<std::string> convs_of_4;
  for (const ConvSpec& conv : spec.layers[4].convs) {
    convs_of_4.push_back(conv.name);
  }
  EXPECT_THAT(convs_of_4, ElementsAre("model.4.cv1", "model.4.cv2", "model.4.cv3", "model.4.m.0.cv1",
                                      "model.4.m.0.cv2", "model.4.m.1.cv1", "model.4.m.1.cv2"));
  EXPECT_THAT(
      first(names.size() - 7, 7),
      ElementsAre("model.24.anchors", "model.24.m.0.weight", "model.24.m.0.bias", "model.24.m.1.weight",
                  "model.24.m.1.bias", "model.24.m.2.weight", "model.24.m.2.bias"));
  EXPECT_THAT(entries[0].shape, ElementsAre(16, 3, 6, 6));
  EXPECT_THAT(entries[5].shape, ElementsAre());
  EXPECT_FALSE(entries[5].is_parameter());
  EXPECT_THAT(entries[entries.size() - 7].shape, ElementsAre(3, 3, 2));
  EXPECT_THAT(entries[entries.size() - 6].shape, ElementsAre(21, 64, 1, 1));
  EXPECT_FALSE(entries[entries.size() - 7].is_parameter());
  EXPECT_TRUE(entries.back().is_parameter());
}

TEST(ModelSpec, SummaryTextsAreThoseOfTheOfficialOne) {
  const ModelSpec spec = shipped("yolov5s");
  EXPECT_EQ(spec.layers[0].args_text, "[3, 32, 6, 2, 2]");
  EXPECT_EQ(spec.layers[4].args_text, "[128, 128, 2]");
  EXPECT_EQ(spec.layers[9].args_text, "[512, 512, 5]");
  EXPECT_EQ(spec.layers[11].args_text, "[None, 2, 'nearest']");
  EXPECT_EQ(spec.layers[12].args_text, "[1]");
  EXPECT_EQ(spec.layers[13].args_text, "[512, 256, 1, False]");
  EXPECT_EQ(spec.layers[24].args_text,
            "[80, [[10, 13, 16, 30, 33, 23], [30, 61, 62, 45, 59, 119], [116, 90, 156, 198, 373, 326]], "
            "[128, 256, 512]]");
  EXPECT_EQ(spec.layers[0].from_text, "-1");
  EXPECT_EQ(spec.layers[12].from_text, "[-1, 6]");
  EXPECT_EQ(spec.layers[24].from_text, "[17, 20, 23]");
  EXPECT_THAT(spec.layers[0].from, ElementsAre(-1));
  EXPECT_THAT(spec.layers[12].from, ElementsAre(11, 6));
}

}  // namespace
}  // namespace yolodist::model_spec
