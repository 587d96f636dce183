// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/plan/report.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "tests/unit/common/plan/simple_model.h"

namespace yolodist::plan {
namespace {

using test::four_layers;
using test::simple_device;
using test::simple_request;
using test::SimpleModel;
using testing::HasSubstr;
using testing::Not;

struct Planned {
  SimpleModel model = four_layers();
  model_spec::ModelSpec spec = model.spec();
  Request request = simple_request(spec, 8, {simple_device(600), simple_device(320)});
  Plan plan = make_plan(request, model.estimator());
};

TEST(PlanText, SaysWhatEachRankDoesAndWhy) {
  Planned p;
  const std::string text = plan_text(p.request, p.plan, /*verbose=*/false);
  for (const char* part :
       {"simple, 640 px, batch 8 in groups of 4", "predicted peak", "of budget", "activations of",
        "same as YOLOv5: batch 8", "Peak of rank 1", "parameters", "recompute blocks", "Largest batch"}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
  EXPECT_THAT(text, Not(HasSubstr("keeps without recompute")));
  EXPECT_THAT(plan_text(p.request, p.plan, /*verbose=*/true), HasSubstr("keeps without recompute"));
}

TEST(PlanJson, HasTheAgreedKeys) {
  Planned p;
  const nlohmann::ordered_json document = plan_json(p.request, p.plan);
  EXPECT_EQ(document["schema"], 1);
  EXPECT_EQ(document["model"], "simple");
  EXPECT_EQ(document["imgsz"], 640);
  EXPECT_EQ(document["global_batch"], 8);
  EXPECT_EQ(document["bn_group"], 4);
  EXPECT_EQ(document["accumulate"], 8);
  EXPECT_EQ(document["fits"], true);
  EXPECT_EQ(document["max_global_batch"], p.plan.max_global_batch);
  const auto& rank = document["ranks"][1];
  for (const char* key : {"rank", "card", "uuid", "budget_bytes", "groups", "precision", "recompute",
                          "shard_optimizer", "pipeline_stage", "peak_bytes", "terms"}) {
    EXPECT_TRUE(rank.contains(key)) << key;
  }
  EXPECT_EQ(rank["groups"], nlohmann::ordered_json({4}));
  EXPECT_EQ(rank["budget_bytes"], 320);
  EXPECT_EQ(rank["peak_bytes"]["allocator"], p.plan.ranks[1].estimate.allocator_bytes);
  int64_t sum = 0;
  for (const auto& [key, bytes] : rank["terms"].items()) {
    sum += bytes.get<int64_t>();
  }
  EXPECT_EQ(sum, rank["peak_bytes"]["device"]) << "the terms make up the peak";
  EXPECT_EQ(document["layers"].size(), 4u);
  EXPECT_EQ(document["layers"][0]["saved_bytes"], 4 * 40);
  EXPECT_EQ(document["rungs"][0]["change"], "recompute none");
  EXPECT_TRUE(document["rungs"][0].contains("allocator_bytes"));
}

TEST(PlanJson, NoBudgetIsNull) {
  Planned p;
  p.request.devices = {simple_device(0)};
  const nlohmann::ordered_json document = plan_json(p.request, make_plan(p.request, p.model.estimator()));
  EXPECT_TRUE(document["ranks"][0]["budget_bytes"].is_null());
  EXPECT_TRUE(document["max_global_batch"].is_null());
}

TEST(PlanJson, SeveralCasesAreAList) {
  Planned p;
  const nlohmann::ordered_json document =
      plans_json({plan_json(p.request, p.plan), plan_json(p.request, p.plan)});
  EXPECT_EQ(document["plans"].size(), 2u);
}

TEST(CasesText, HasTheRuleOfThumbBesideTheTruth) {
  Planned p;
  const std::string text = cases_text({{p.request, p.plan, 3}});
  for (const char* part : {"most/rank plain", "rule", "simple", "at most 8 pictures at 1280 px on 16 GB"}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
}

TEST(RuleOfThumb, IsScaledToSideAndBudget) {
  constexpr auto gib = int64_t{1} << 30;
  EXPECT_EQ(rule_of_thumb(1280, 1575 * gib / 100), 8);
  EXPECT_EQ(rule_of_thumb(640, 1575 * gib / 100), 32);
  EXPECT_EQ(rule_of_thumb(1280, 8 * gib), 4);
  EXPECT_EQ(rule_of_thumb(1280, 0), -1);
}

TEST(TableText, ColumnsAreAsWideAsNeeded) {
  EXPECT_EQ(table_text({{"a", "name"}, {"10", "x"}}, {1}), "   a  name\n  10  x\n");
}

}  // namespace
}  // namespace yolodist::plan
