// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/cli/plan_command_line.h"

#include <gmock/gmock.h>

#include <sstream>

#include "common/base/error.h"
#include "tests/support/thrown.h"

namespace yolodist::cli {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> words(const std::string& text) {
  std::istringstream stream(text);
  return {std::istream_iterator<std::string>(stream), {}};
}

PlanOptions parsed(const std::string& text) {
  return parse_plan(words("--model yolov5s " + text)).options;
}

std::string refusal(const std::string& text) {
  return test::thrown<UsageError>([&] { parse_plan(words(text)); });
}

TEST(ParsePlan, DefaultsAreTrains) {
  const PlanOptions o = parsed("");
  EXPECT_THAT(o.models, ElementsAre("yolov5s"));
  EXPECT_THAT(o.sides_px, ElementsAre(640));
  EXPECT_EQ(o.global_batch, 16);
  EXPECT_EQ(o.optimizer, "SGD");
  EXPECT_EQ(o.recompute, "auto");
  EXPECT_EQ(o.device_memory_bytes, std::vector<int64_t>{0});
  EXPECT_TRUE(o.cards.empty());
}

TEST(ParsePlan, TakesSeveralModelsSidesAndCards) {
  const PlanOptions o =
      parsed("--model n s --img 640 1280 --card V100-16GB V100-32GB T4 T4 --batch -1 --device-memory 8GiB");
  EXPECT_THAT(o.models, ElementsAre("n", "s"));
  EXPECT_THAT(o.sides_px, ElementsAre(640, 1280));
  EXPECT_THAT(o.cards, ElementsAre("V100-16GB", "V100-32GB", "T4", "T4"));
  EXPECT_EQ(o.global_batch, -1);
  EXPECT_EQ(o.device_memory_bytes, std::vector<int64_t>{int64_t{8} << 30});
  EXPECT_THAT(parsed("--cfg all").models, ElementsAre("all"));
}

TEST(ParsePlan, TakesTheOtherOptions) {
  const PlanOptions o = parsed(
      "--ranks 2 --bn-group 4 --accumulate 2 --batch 12 --shard 8,4 --precision bf16 --optimizer adamw "
      "--recompute "
      "blocks --allow-recipe-change --memory-reserve 5% --val-batch 8 --multi-scale --nc 3 --targets 500 "
      "--json "
      "--verbose --device cpu --cards mine.yaml");
  EXPECT_EQ(o.ranks, 2);
  EXPECT_EQ(o.bn_group, 4);
  EXPECT_EQ(o.accumulate, 2);
  EXPECT_THAT(o.shard, ElementsAre(8, 4));
  EXPECT_EQ(o.precision, "bf16");
  EXPECT_EQ(o.optimizer, "AdamW");
  EXPECT_EQ(o.recompute, "blocks");
  EXPECT_TRUE(o.allow_recipe_change);
  EXPECT_EQ(o.memory_reserve, "5%");
  EXPECT_EQ(o.val_batch, 8);
  EXPECT_TRUE(o.multi_scale);
  EXPECT_EQ(o.class_count, 3);
  EXPECT_EQ(o.targets, 500);
  EXPECT_TRUE(o.json);
  EXPECT_TRUE(o.verbose);
  EXPECT_EQ(o.device, "cpu");
  EXPECT_EQ(o.cards_file, "mine.yaml");
}

TEST(ParsePlan, RefusesWhatCannotBe) {
  EXPECT_THAT(refusal(""), HasSubstr("no --model"));
  EXPECT_THAT(refusal("--model n --img 640:1280"), HasSubstr("not supported yet"));
  EXPECT_THAT(refusal("--model n --card a b --ranks 3"), HasSubstr("for 2 ranks"));
  EXPECT_THAT(refusal("--model n --card a --device cpu"), HasSubstr("do not go together"));
  EXPECT_THAT(refusal("--model n --batch 0"), HasSubstr("at least 1, or -1"));
  EXPECT_THAT(refusal("--model n --batch -1 --shard 2,2"), HasSubstr("do not go together"));
  EXPECT_THAT(refusal("--model n --device-memory lots"), HasSubstr("--device-memory"));
  EXPECT_THAT(refusal("--model n --memory-reserve 100%"), HasSubstr("--memory-reserve"));
  EXPECT_THAT(refusal("--model n --recompute some"), HasSubstr("auto, none, activations or blocks"));
  EXPECT_THAT(refusal("--model n --precision half"), HasSubstr("auto, fp32"));
  EXPECT_THAT(refusal("--model n --data coco.yaml"),
              AllOf(HasSubstr("--data is not supported"), HasSubstr("--nc")));
}

TEST(ParsePlan, HelpListsTheOptions) {
  EXPECT_TRUE(parse_plan({"--help"}).wants_help);
  for (const char* text :
       {"--model NAME|FILE", "--card NAME", "--device-memory 16GiB[,8GiB] (=0)", "--imgsz PX", "71"}) {
    EXPECT_THAT(plan_help(), HasSubstr(text));
  }
}

}  // namespace
}  // namespace yolodist::cli
