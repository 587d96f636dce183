// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
// The options of val and detect as JSON.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "common/base/error.h"
#include "common/config/detect_options.h"
#include "common/config/val_options.h"

namespace yolodist::config {
namespace {

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

TEST(ValOptions, EveryFieldSurvivesJson) {
  const nlohmann::ordered_json document = changed(to_json(ValOptions{}));
  EXPECT_EQ(document.size(), 25u);
  EXPECT_EQ(to_json(val_options_from_json(document)), document);
  EXPECT_THROW(val_options_from_json({{"max_det", "many"}}), UsageError);
  EXPECT_EQ(val_options_from_json({{"of_the_future", 1}}).batch, 32);
}

TEST(DetectOptions, EveryFieldSurvivesJson) {
  const nlohmann::ordered_json document = changed(to_json(DetectOptions{}));
  EXPECT_EQ(document.size(), 26u);
  EXPECT_EQ(to_json(detect_options_from_json(document)), document);
  EXPECT_THROW(detect_options_from_json({{"classes", 3}}), UsageError);
}

}  // namespace
}  // namespace yolodist::config
