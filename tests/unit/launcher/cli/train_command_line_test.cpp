// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/cli/train_command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "common/base/error.h"
#include "launcher/cli/options.h"
#include "launcher/cli/train_description.h"
#include "launcher/cli/version.h"
#include "tests/support/thrown.h"

namespace yolodist::cli {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

// Words as a shell would cut simple text; '' is an empty word.
std::vector<std::string> words(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> list;
  for (std::string word; stream >> word;) {
    list.push_back(word == "''" ? "" : word);
  }
  return list;
}

config::TrainOptions parsed(const std::string& text) {
  return parse_train(words("--data d.yaml --cfg yolov5n " + text)).options;
}

std::string refusal(const std::string& text) {
  return test::thrown<UsageError>([&] { parse_train(words(text)); });
}

TEST(ParseTrain, WithoutOptionsIsTheSample) {
  const TrainCommandLine line = parse_train({});
  EXPECT_TRUE(line.is_sample);
  EXPECT_EQ(line.options.cfg, "yolov5n");
  EXPECT_EQ(line.options.weights, "");
  EXPECT_EQ(line.options.imgsz_px, 1280);
  EXPECT_EQ(line.options.global_batch, 4);
  EXPECT_EQ(line.options.epochs, 3);
}

TEST(ParseTrain, TheSampleKeepsWhatIsGiven) {
  TrainCommandLine line = parse_train(words("--epochs 7 --device cpu --weights ''"));
  EXPECT_TRUE(line.is_sample);
  EXPECT_EQ(line.options.epochs, 7);
  line = parse_train(words("--img 320 --device cpu"));
  EXPECT_EQ(line.options.imgsz_px, 320);
  EXPECT_EQ(line.options.epochs, 3);
  line.options.data = "/share/my sample.yaml";
  EXPECT_EQ(
      equivalent_command(line),
      "yolodist train --data '/share/my sample.yaml' --cfg yolov5n --weights '' --imgsz 320 --batch-size 4 "
      "--epochs 3 --device cpu");
}

TEST(ParseTrain, AModelWithoutDataTrainsTheSampleWithYolov5Defaults) {
  const TrainCommandLine line = parse_train(words("--cfg yolov5s"));
  EXPECT_TRUE(line.is_sample);
  EXPECT_EQ(line.options.imgsz_px, 640);
  EXPECT_EQ(line.options.epochs, 100);
}

TEST(ParseTrain, WithDataDefaultsAreThoseOfYolov5) {
  const config::TrainOptions o = parsed("");
  EXPECT_EQ(o.imgsz_px, 640);
  EXPECT_EQ(o.epochs, 100);
  EXPECT_EQ(o.global_batch, 16);
  EXPECT_EQ(o.hyp, "hyp.scratch-low");
  EXPECT_EQ(o.optimizer, "SGD");
  EXPECT_EQ(o.patience, 100);
  EXPECT_EQ(o.save_period, -1);
  EXPECT_EQ(o.workers, 8);
  EXPECT_EQ(o.project, "runs/train");
  EXPECT_EQ(o.name, "exp");
  EXPECT_THAT(o.freeze, ElementsAre(0));
  EXPECT_EQ(o.bn_group, 0);
  EXPECT_TRUE(o.augment);
}

TEST(ParseTrain, KnowsYolov5NamesAliasesAndBeginnings) {
  EXPECT_EQ(parsed("--batch 8").global_batch, 8);
  EXPECT_EQ(parsed("--batch-size=8").global_batch, 8);
  EXPECT_EQ(parsed("--img 320").imgsz_px, 320);
  EXPECT_EQ(parsed("--img-size 320").imgsz_px, 320);
  EXPECT_EQ(parsed("--imgsz 320").imgsz_px, 320);
  EXPECT_EQ(parsed("--model yolov5x6").cfg, "yolov5x6");
  EXPECT_EQ(parsed("--micro-batch 2").bn_group, 2);
  EXPECT_EQ(parsed("--epoch 5").epochs, 5);
  EXPECT_EQ(parsed("--label_smoothing 0.1").label_smoothing, 0.1);
  EXPECT_EQ(parsed("--optimizer adamw").optimizer, "AdamW");
  EXPECT_EQ(parsed("--save-period -1").save_period, -1);
  EXPECT_EQ(parsed("--epochs 5 --epochs 6").epochs, 6) << "the last one counts";
}

TEST(ParseTrain, ReadsListsAndAutos) {
  EXPECT_THAT(parsed("--freeze 0 1 2 --single-cls").freeze, ElementsAre(0, 1, 2));
  EXPECT_TRUE(parsed("--freeze 10 --single-cls").single_cls);
  EXPECT_THAT(parsed("--batch 7 --shard 1,2,4").shard, ElementsAre(1, 2, 4));
  EXPECT_TRUE(parsed("--shard auto").shard.empty());
  EXPECT_EQ(parsed("--accumulate 4").accumulate, 4);
  EXPECT_EQ(parsed("--accumulate auto").accumulate, 0);
  EXPECT_FALSE(parsed("--no-augment").augment);
  EXPECT_EQ(parsed("--weights ''").weights, "");
  EXPECT_EQ(parsed("--weights=").weights, "");
}

TEST(ParseTrain, ResumeTakesAValueOrNot) {
  TrainCommandLine line = parse_train(words("--resume --workers 2"));
  EXPECT_TRUE(line.options.resume);
  EXPECT_EQ(line.options.resume_from, "");
  EXPECT_FALSE(line.is_sample);
  line = parse_train(words("--resume runs/exp"));
  EXPECT_EQ(line.options.resume_from, "runs/exp");
  EXPECT_THAT(line.given, ElementsAre("resume"));
}

TEST(ParseTrain, NamesTheNearestOptionForAMisspeltOne) {
  EXPECT_THAT(refusal("--epcohs 3"), AllOf(HasSubstr("--epcohs"), HasSubstr("Did you mean --epochs?")));
  EXPECT_THAT(refusal("--optimzer SGD"), HasSubstr("--optimizer"));
  EXPECT_THAT(refusal("--xyzzyplugh 3"), HasSubstr("unknown option --xyzzyplugh"));
  EXPECT_THAT(refusal("--b 3"),
              AllOf(HasSubstr("ambiguous"), HasSubstr("--batch-size"), HasSubstr("--bn-group")));
  EXPECT_THAT(refusal("data.yaml"), HasSubstr("stray word 'data.yaml'"));
}

TEST(ParseTrain, RefusesWhatIsNotSupportedByName) {
  for (const RefusedOption& option : refused_train_options()) {
    const std::string text = refusal(std::string("--") + option.name + " 1");
    EXPECT_THAT(text, HasSubstr(std::string("--") + option.name + " is not supported")) << option.name;
  }
  for (const char* flag :
       {"--evolve", "--quad", "--sync-bn", "--local_rank", "--shard-optimizer", "--teacher"}) {
    EXPECT_THAT(refusal(flag), HasSubstr("not supported")) << flag;
  }
  EXPECT_THAT(refusal("--card t4"), HasSubstr("yolodist plan"));
  EXPECT_THAT(refusal("--img 640:1280"), HasSubstr("not supported yet"));
}

TEST(ParseTrain, TakesEveryPrecision) {
  for (const char* precision : {"auto", "fp32", "fp16", "bf16", "fp64"}) {
    EXPECT_EQ(parsed(std::string("--precision ") + precision).precision, precision);
  }
  EXPECT_THAT(refusal("--precision fp8"), HasSubstr("auto, fp32, fp16, bf16 or fp64"));
}

TEST(ParseTrain, TakesTheFlagsOfTheData) {
  const auto options = [](const std::vector<std::string>& more) {
    std::vector<std::string> words = {"--cfg", "yolov5n", "--data", "d.yaml"};
    words.insert(words.end(), more.begin(), more.end());
    return parse_train(words).options;
  };
  EXPECT_TRUE(options({"--rect"}).rect);
  EXPECT_TRUE(options({"--multi-scale"}).multi_scale);
  EXPECT_TRUE(options({"--image-weights"}).image_weights);
  EXPECT_EQ(options({}).cache, "");
  EXPECT_EQ(options({"--cache"}).cache, "ram");
  EXPECT_EQ(options({"--cache", "disk", "--cache-dir", "/scratch"}).cache, "disk");
  EXPECT_EQ(options({"--cache", "disk", "--cache-dir", "/scratch"}).cache_dir, "/scratch");
  EXPECT_THROW(options({"--cache", "tape"}), UsageError);
}

TEST(ParseTrain, TakesTheNetworkBetweenHosts) {
  EXPECT_EQ(parsed("").net_if, "");
  EXPECT_EQ(parsed("--net-if ib0").net_if, "ib0");
  EXPECT_EQ(parsed("--net_if=10.0.0.0/24").net_if, "10.0.0.0/24");
}

TEST(ParseTrain, TakesTheOptionsOfMemory) {
  EXPECT_EQ(parsed("").device_memory, "0");
  EXPECT_EQ(parsed("").recompute, "auto");
  EXPECT_EQ(parsed("--device-memory 16GiB").device_memory, "16GiB");
  EXPECT_EQ(parsed("--device-memory 24GiB,8GB").device_memory, "24GiB,8GB");
  EXPECT_EQ(parsed("--device-memory 12345").device_memory, "12345");
  EXPECT_EQ(parsed("--memory-reserve 5%").memory_reserve, "5%");
  EXPECT_EQ(parsed("--recompute blocks").recompute, "blocks");
  EXPECT_TRUE(parsed("--allow-recipe-change").allow_recipe_change);
  EXPECT_EQ(parsed("--batch -1").global_batch, -1);
  EXPECT_EQ(parsed("--precision bf16").precision, "bf16");
}

TEST(ParseTrain, TheShortageForTestsIsTakenButNotListed) {
  EXPECT_EQ(parsed("--inject-shortage 1:backward:3:50000000").inject_shortage, "1:backward:3:50000000");
  EXPECT_THAT(train_help(), testing::Not(HasSubstr("inject")));
  for (const char* text :
       {"1", "1:backward:3", "x:backward:3:4", "1:sleep:3:4", "1:loss:x:4", "1:loss:3:lots"}) {
    EXPECT_THAT(refusal(std::string("--data d.yaml --cfg yolov5n --inject-shortage ") + text),
                HasSubstr("--inject-shortage"))
        << text;
  }
}

TEST(ParseTrain, RefusesValuesOutOfRange) {
  for (const char* text : {"--epochs 0",
                           "--epochs x",
                           "--epochs 3.5",
                           "--epochs",
                           "--batch 0",
                           "--batch -2",
                           "--imgsz 31",
                           "--imgsz x",
                           "--label-smoothing 1",
                           "--freeze -1",
                           "--patience -1",
                           "--workers -1",
                           "--threads -2",
                           "--optimizer Adagrad",
                           "--precision half",
                           "--bn-group 0",
                           "--bn-group x",
                           "--accumulate 0",
                           "--shard 1,x --batch 4",
                           "--shard 1,2 --batch 4",
                           "--shard 2,2 --batch 4 --ranks 3",
                           "--max-steps -1",
                           "--seed x",
                           "--noval=1",
                           "--device-memory lots",
                           "--memory-reserve 100%",
                           "--memory-reserve x%",
                           "--recompute some",
                           "--batch -1 --shard 2,2",
                           "--epochs 99999999999"}) {
    EXPECT_NE(refusal(std::string("--data d.yaml --cfg yolov5n ") + text), "") << text;
  }
  EXPECT_THAT(refusal("--data d.yaml --cfg yolov5n --epochs 0"),
              HasSubstr("--epochs is 0, should be at least 1"));
}

TEST(ParseTrain, DataNeedsAModel) {
  EXPECT_THAT(refusal("--data d.yaml"), HasSubstr("neither --weights nor --cfg"));
  EXPECT_EQ(parse_train(words("--data d.yaml --weights w.pt")).options.weights, "w.pt");
}

TEST(ParseTrain, HelpListsEveryOptionWithItsDefault) {
  EXPECT_TRUE(parse_train(words("--help")).wants_help);
  EXPECT_TRUE(parse_train(words("-h")).wants_help);
  EXPECT_TRUE(parse_train(words("--version")).wants_version);
  const std::string help = train_help();
  for (const char* text : {"--epochs N (=100)", "--batch-size N (=16)", "--imgsz PX (=640)",
                           "(=hyp.scratch-low)", "--resume [PATH|auto]", "Recipe", "Execution"}) {
    EXPECT_THAT(help, HasSubstr(text));
  }
}

// What --resume compares and overlays by: each option has its key among the stored ones.
TEST(OptionKey, EveryOptionIsAFieldOfTheStoredOptions) {
  config::TrainOptions options;
  TrainTexts texts;
  const nlohmann::ordered_json stored = config::to_json(options);
  const auto description = describe_train(options, texts);
  for (const auto& option : description.options()) {
    const std::string& name = option->long_name();
    if (name != "help" && name != "version") {
      EXPECT_TRUE(stored.contains(option_key(name))) << name;
      EXPECT_EQ(option_of_key(option_key(name)),
                name == "checkpoint-every" ? "checkpoint-every-steps" : name);
    }
  }
}

TEST(Version, NamesAllLibraries) {
  EXPECT_THAT(version_text("Open MPI v4.1.4"),
              AllOf(HasSubstr("git "), HasSubstr("LibTorch"), HasSubstr("CUDA"), HasSubstr("NCCL"),
                    HasSubstr("MPI      Open MPI v4.1.4")));
}

}  // namespace
}  // namespace yolodist::cli
