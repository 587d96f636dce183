// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/cli/detect_command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "launcher/cli/options.h"
#include "tests/support/thrown.h"

namespace yolodist::cli {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> words(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> list;
  for (std::string word; stream >> word;) {
    list.push_back(word);
  }
  return list;
}

config::DetectOptions parsed(const std::string& text) {
  return parse_detect(words("--weights w.pt --source pictures " + text)).options;
}

std::string refusal(const std::string& text) {
  return test::thrown<UsageError>([&] { parse_detect(words("--weights w.pt " + text)); });
}

TEST(ParseDetect, HasTheDefaultsOfThePeer) {
  const config::DetectOptions o = parsed("");
  EXPECT_EQ(o.source, "pictures");
  EXPECT_EQ(o.data, "");
  EXPECT_EQ(o.imgsz_px, 640);
  EXPECT_EQ(o.confidence, 0.25);
  EXPECT_EQ(o.iou, 0.45);
  EXPECT_EQ(o.max_detections, 1000);
  EXPECT_TRUE(o.classes.empty());
  EXPECT_EQ(o.line_thickness_px, 3);
  EXPECT_EQ(o.project, "runs/detect");
  EXPECT_FALSE(o.agnostic_nms || o.save_txt || o.save_conf || o.save_crop || o.no_save || o.hide_labels ||
               o.hide_conf || o.exist_ok);
}

TEST(ParseDetect, ReadsListsAndOtherNames) {
  const config::DetectOptions o = parsed("--classes 0 2 7 --conf 0.5 --img 320 --hide_labels --nosave");
  EXPECT_THAT(o.classes, ElementsAre(0, 2, 7));
  EXPECT_EQ(o.confidence, 0.5);
  EXPECT_EQ(o.imgsz_px, 320);
  EXPECT_TRUE(o.hide_labels && o.no_save);
}

TEST(ParseDetect, RefusesSourcesThatAreNoPictures) {
  for (const char* source : {"0", "1", "https://example.org/a.jpg", "rtsp://camera/1", "screen", "a/b.MP4",
                             "list.streams", "clip.gif"}) {
    EXPECT_THAT(refusal(std::string("--source ") + source),
                AllOf(HasSubstr(source), HasSubstr("not supported")))
        << source;
  }
  EXPECT_THAT(refusal(""), HasSubstr("no --source"));
}

TEST(ParseDetect, RefusesByName) {
  for (const RefusedOption& option : refused_detect_options()) {
    EXPECT_THAT(refusal(std::string("--") + option.name),
                HasSubstr(std::string("--") + option.name + " is not supported"));
  }
  EXPECT_THAT(refusal("--weights a.pt b.pt --source x"), HasSubstr("2 files"));
  for (const char* text : {"--conf 2", "--max-det 0", "--classes -1", "--line-thickness 0", "--img 16"}) {
    EXPECT_NE(refusal(std::string("--source x ") + text), "") << text;
  }
}

TEST(ParseDetect, HelpListsEveryOptionOfTheStoredOnes) {
  EXPECT_TRUE(parse_detect({"-h"}).wants_help);
  const std::string help = detect_help();
  const nlohmann::ordered_json stored = config::to_json(config::DetectOptions{});
  for (const auto& [key, value] : stored.items()) {
    std::string option = "--" + key;
    std::replace(option.begin(), option.end(), '_', '-');
    EXPECT_THAT(help, HasSubstr(option));
  }
}

}  // namespace
}  // namespace yolodist::cli
