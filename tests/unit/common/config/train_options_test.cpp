// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/config/train_options.h"

#include <string>

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "tests/support/thrown.h"

namespace yolodist::config {
namespace {

using test::thrown;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// Changes every value, so that a field that is forgotten on the way shows.
nlohmann::ordered_json changed(nlohmann::ordered_json document) {
  for (auto& value : document) {
    if (value.is_boolean()) {
      value = !value.get<bool>();
    } else if (value.is_number_float()) {
      value = value.get<double>() + 0.25;
    } else if (value.is_number()) {
      value = value.get<int64_t>() + 3;
    } else if (value.is_string()) {
      value = value.get<std::string>() + "x";
    } else {
      value.push_back(7);
    }
  }
  return document;
}

TEST(TrainOptions, EveryFieldSurvivesJson) {
  const nlohmann::ordered_json document = changed(to_json(TrainOptions{}));
  EXPECT_EQ(to_json(train_options_from_json(document)), document);
}

TEST(TrainOptions, KeysAreOptionNamesInTheOrderOfTheHeader) {
  const nlohmann::ordered_json document = to_json(TrainOptions{});
  EXPECT_EQ(document.begin().key(), "weights");
  EXPECT_EQ(std::prev(document.end()).key(), "verbose");
  EXPECT_EQ(document.size(), 57u);
  EXPECT_EQ(document["batch_size"], 16);
  EXPECT_EQ(document["imgsz"], 640);
  EXPECT_EQ(document["project"], "runs/train");
  EXPECT_EQ(document["nosave"], false);
}

TEST(TrainOptions, MissingKeysKeepTheirDefaultsAndUnknownOnesAreIgnored) {
  const TrainOptions options = train_options_from_json({{"epochs", 3}, {"of_the_future", {1, 2}}});
  EXPECT_EQ(options.epochs, 3);
  EXPECT_EQ(options.global_batch, 16);
}

TEST(TrainOptions, ANumberMayBeWrittenWithoutAPoint) {
  EXPECT_EQ(train_options_from_json({{"label_smoothing", 0}}).label_smoothing, 0.0);
}

TEST(TrainOptions, RefusesWrongTypesByName) {
  const std::pair<const char*, nlohmann::json> cases[] = {
      {"epochs", "3"}, {"epochs", 3.5},      {"epochs", int64_t{1} << 40},
      {"rect", 1},     {"rect", "yes"},      {"name", 5},
      {"freeze", 3},   {"freeze", {1, "2"}}, {"seed", nullptr},
      {"seed", 1.5},   {"project", {1}},     {"label_smoothing", "0.1"}};
  for (const auto& [key, value] : cases) {
    const nlohmann::json document = {{key, value}};
    EXPECT_THAT(thrown<UsageError>([&, &k = key] { train_options_from_json(document); }),
                AllOf(HasSubstr("option "), HasSubstr(key), HasSubstr(value.dump())))
        << document;
  }
  EXPECT_THAT(thrown<UsageError>([] { train_options_from_json({1, 2}); }), HasSubstr("object"));
}

TEST(TrainOptions, SeedHas64Bits) {
  TrainOptions options;
  options.seed = INT64_MAX;
  EXPECT_EQ(train_options_from_json(to_json(options)).seed, INT64_MAX);
  options.seed = INT64_MIN;
  EXPECT_EQ(train_options_from_json(to_json(options)).seed, INT64_MIN);
  EXPECT_THAT(thrown<UsageError>([] { train_options_from_json({{"seed", UINT64_MAX}}); }), HasSubstr("seed"));
}

TEST(TrainOptions, RecipeDifferencesNamesWhatDecidesTheResult) {
  TrainOptions stored, asked;
  asked.global_batch = 32;
  asked.seed = 1;
  asked.freeze = {10};
  EXPECT_THAT(recipe_differences(stored, asked), ElementsAre("batch_size", "freeze", "seed"));
}

TEST(TrainOptions, ExecutionMayDiffer) {
  TrainOptions stored, asked;
  asked.ranks = 4;
  asked.device = "cpu";
  asked.resume = true;
  asked.max_steps = 10;
  asked.workers = 1;
  asked.shard = {8, 8};
  EXPECT_THAT(recipe_differences(stored, asked), IsEmpty());
}

}  // namespace
}  // namespace yolodist::config
