// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/cli/val_command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "launcher/cli/options.h"
#include "tests/support/thrown.h"

namespace yolodist::cli {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::vector<std::string> words(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> list;
  for (std::string word; stream >> word;) {
    list.push_back(word);
  }
  return list;
}

config::ValOptions parsed(const std::string& text) {
  return parse_val(words("--weights w.pt --data d.yaml " + text)).options;
}

std::string refusal(const std::string& text) {
  return test::thrown<UsageError>([&] { parse_val(words(text)); });
}

TEST(ParseVal, HasTheDefaultsOfThePeer) {
  const config::ValOptions o = parsed("");
  EXPECT_EQ(o.weights, "w.pt");
  EXPECT_EQ(o.data, "d.yaml");
  EXPECT_EQ(o.task, "val");
  EXPECT_EQ(o.batch, 32);
  EXPECT_EQ(o.imgsz_px, 640);
  EXPECT_EQ(o.confidence, 0.001);
  EXPECT_EQ(o.iou, 0.6);
  EXPECT_EQ(o.max_detections, 300);
  EXPECT_EQ(o.project, "runs/val");
  EXPECT_EQ(o.name, "exp");
  EXPECT_EQ(o.workers, 8);
  EXPECT_FALSE(o.single_cls || o.verbose || o.save_txt || o.save_hybrid || o.save_conf || o.save_json ||
               o.json || o.exist_ok || o.no_plots);
}

TEST(ParseVal, TakesTheOtherNames) {
  const config::ValOptions o = parsed("--batch 8 --img-size 320 --conf 0.01 --iou 0.65 --max_det 100");
  EXPECT_EQ(o.batch, 8);
  EXPECT_EQ(o.imgsz_px, 320);
  EXPECT_EQ(o.confidence, 0.01);
  EXPECT_EQ(o.iou, 0.65);
  EXPECT_EQ(o.max_detections, 100);
  EXPECT_EQ(parsed("--conf-thres 0.02 --img 64").confidence, 0.02);
}

TEST(ParseVal, FillsInWhatAnOptionImplies) {
  EXPECT_TRUE(parsed("--save-hybrid").save_txt);
  EXPECT_TRUE(parse_val(words("--weights w.pt --data data/coco.yaml")).options.save_json);
  const config::ValOptions speed = parse_val(words("--weights w.pt --data coco.yaml --task speed")).options;
  EXPECT_EQ(speed.confidence, 0.25);
  EXPECT_EQ(speed.iou, 0.45);
  EXPECT_FALSE(speed.save_json);
}

TEST(ParseVal, RefusesByName) {
  for (const RefusedOption& option : refused_val_options()) {
    EXPECT_THAT(refusal(std::string("--") + option.name),
                HasSubstr(std::string("--") + option.name + " is not supported"));
  }
  EXPECT_THAT(refusal("--weights a.pt --data d.yaml --task study"), HasSubstr("--task study"));
  EXPECT_THAT(refusal("--weights a.pt b.pt --data d.yaml"),
              AllOf(HasSubstr("2 files"), HasSubstr("ensembles")));
  EXPECT_THAT(refusal("--data d.yaml"), HasSubstr("no --weights"));
  EXPECT_THAT(refusal("--weights a.pt"), HasSubstr("no --data"));
}

TEST(ParseVal, RefusesValuesOutOfRangeAndHintsAtItsOwnHelp) {
  for (const char* text : {"--task tset", "--batch 0", "--conf 1.5", "--iou -0.1", "--max-det 0", "--img 16",
                           "--ranks -1", "--conf x"}) {
    EXPECT_NE(refusal(std::string("--weights w.pt --data d.yaml ") + text), "") << text;
  }
  EXPECT_THAT(refusal("--epochs 3"), HasSubstr("yolodist val --help"));
}

TEST(ParseVal, HelpListsEveryOptionOfTheStoredOnes) {
  EXPECT_TRUE(parse_val({"--help"}).wants_help);
  EXPECT_TRUE(parse_val({"--version"}).wants_version);
  const std::string help = val_help();
  const nlohmann::ordered_json stored = config::to_json(config::ValOptions{});
  for (const auto& [key, value] : stored.items()) {
    std::string option = "--" + key;
    std::replace(option.begin(), option.end(), '_', '-');
    EXPECT_THAT(help, HasSubstr(option));
  }
  EXPECT_THAT(help, AllOf(HasSubstr("--batch-size N (=32)"), HasSubstr("--iou-thres X (=0.6)"),
                          HasSubstr("--conf-thres X (=0.001)")));
}

}  // namespace
}  // namespace yolodist::cli
