// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/run/memory_report.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "common/base/text.h"
#include "common/run/exit_meaning.h"

namespace yolodist::run {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr int64_t mib = 1 << 20;

json example() {
  return {
      {"rank", 3},
      {"host", "node2"},
      {"phase", "backward"},
      {"epoch", 2},
      {"iteration", 117},
      {"layer", 4},
      {"piece", "model.4.m.7.cv2"},
      {"shape", {8, 160, 160, 160}},
      {"dtype", "fp16"},
      {"requested_bytes", 60 * mib},
      {"held_bytes", 1000 * mib},
      {"budget_bytes", 1024 * mib},
      {"free_bytes", 24 * mib},
      {"holders",
       {{{"kind", "activations"}, {"layer", 2}, {"name", "model.2 C3"}, {"bytes", 310 * mib}},
        {{"kind", "optimizer"}, {"layer", -1}, {"name", ""}, {"bytes", 250 * mib}}}},
      {"plan",
       {{"activations", 600 * mib}, {"transient", 100 * mib}, {"optimizer", 250 * mib}, {"nccl", 999 * mib}}},
      {"plan_bytes", 950 * mib},
      {"actual",
       {{"activations", 610 * mib}, {"transient", 100 * mib}, {"optimizer", 250 * mib}, {"other", 40 * mib}}},
      {"pictures", {"a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg"}},
      {"ranks",
       {{{"rank", 2},
         {"host", "node2"},
         {"current_bytes", 900 * mib},
         {"peak_bytes", 940 * mib},
         {"budget_bytes", 1024 * mib}},
        {{"rank", 3},
         {"host", "node2"},
         {"current_bytes", 1000 * mib},
         {"peak_bytes", 1000 * mib},
         {"budget_bytes", 0},
         {"ran_out", true}}}},
      {"remedies",
       {{{"change", "recompute activations"},
         {"allocator_bytes", 700 * mib},
         {"fits", true},
         {"slowdown", 0.07},
         {"is_exact", true}},
        {{"change", "--img 1152"},
         {"allocator_bytes", 2000 * mib},
         {"fits", false},
         {"slowdown", 0.0},
         {"is_exact", false}}}}};
}

TEST(MemoryReport, AnswersWhereHowMuchWhoWhyAndWhatNow) {
  EXPECT_THAT(
      text_of(example()),
      ElementsAre(
          "out of memory on rank 3 (node2): backward of model.4.m.7.cv2, 8x160x160x160 fp16, epoch 2, "
          "iteration 117",
          "  how much   asked 60.0 MiB, free 24.0 MiB, held 1000 MiB of a budget of 1.00 GiB",
          "  who holds     310 MiB  31 %  activations of model.2 C3",
          "                250 MiB  25 %  optimizer", "                440 MiB        by others",
          "  the plan   peak 950 MiB, needed here 1.04 GiB (+110 MiB); above the plan: other +40.0 MiB, "
          "activations +10.0 MiB",
          "  all ranks  rank  host                   now       peak     budget",
          "                2  node2              900 MiB    940 MiB   1.00 GiB",
          "                3  node2             1000 MiB   1000 MiB          -  ran out",
          "  pictures   a.jpg, b.jpg, c.jpg, d.jpg and 1 more",
          "  what now   1. recompute activations: peak 700 MiB, 7 % more time, same result",
          "             2. --img 1152: peak 1.95 GiB (does not fit), changes the recipe: only on request"));
}

TEST(MemoryReport, SaysWhenThePlanWasNotMissed) {
  json memory = example();
  memory["actual"] = memory["plan"];
  EXPECT_THAT(join(text_of(memory), "\n"), HasSubstr("no term is above its plan"));
  memory["budget_bytes"] = 900 * mib;
  EXPECT_THAT(join(text_of(memory), "\n"), HasSubstr("the plan itself is over the budget of 900 MiB"));
}

TEST(MemoryReport, SaysWhoElseHoldsTheCard) {
  json memory = example();
  const auto card = [&memory] { return text_of(memory)[2]; };
  memory["device_used_bytes"] = 15000 * mib;
  memory["reserved_bytes"] = 11000 * mib;
  EXPECT_EQ(
      card(),
      "  the card   14.6 GiB in use, 3.91 GiB of it outside of this rank's allocator (its CUDA context, "
      "NCCL, other processes)");
  memory["device_bytes"] = 16000 * mib;
  memory["other_processes_bytes"] = 3100 * mib;
  EXPECT_EQ(card(), "  the card   14.6 GiB of 15.6 GiB in use, 3.03 GiB of it by other processes");
  memory["other_processes_bytes"] = 0;
  EXPECT_EQ(card(), "  the card   14.6 GiB of 15.6 GiB in use, by nobody else");
}

TEST(MemoryReport, LeavesOutWhatIsNotKnown) {
  EXPECT_THAT(text_of(json::object()), ElementsAre("out of memory"));
  EXPECT_THAT(text_of(nullptr), ElementsAre("out of memory"));
  EXPECT_THAT(text_of({{"phase", "optimizer"}, {"layer", -1}, {"shape", {0, 0, 0, 0}}}),
              ElementsAre("out of memory: optimizer"));
  EXPECT_THAT(text_of({{"layer", 9}, {"rank", 0}}), ElementsAre("out of memory on rank 0: model.9"));
}

// Each field replaced by each kind of value: reports of other versions, or cut off, are printed as far as
// possible.
TEST(MemoryReport, NeverThrowsForOddFields) {
  const std::vector<json> odd = {nullptr,
                                 true,
                                 -1,
                                 2.5,
                                 "text",
                                 json::array({1, "x", nullptr, json::object()}),
                                 json::object(),
                                 json::array(),
                                 {{"bytes", "x"}, {"change", 3}}};
  json whole = example();
  whole["device_used_bytes"] = whole["other_processes_bytes"] = whole["device_bytes"] = mib;
  for (const auto& [key, value] : whole.items()) {
    for (const json& replacement : odd) {
      json memory = whole;
      memory[key] = replacement;
      EXPECT_NO_THROW(text_of(memory)) << key << " = " << replacement;
      memory[key] = json::array({replacement});
      EXPECT_NO_THROW(text_of(memory)) << key << " = [" << replacement << "]";
    }
  }
}

TEST(ExitMeaning, KnowsEveryCodeAndSignals) {
  EXPECT_THAT(meaning_of(137).what, AllOf(HasSubstr("SIGKILL"), HasSubstr("memory")));
  EXPECT_THAT(meaning_of(135).what_now, HasSubstr("/dev/shm"));
  EXPECT_THAT(meaning_of(71).what, HasSubstr("out of memory"));
  EXPECT_THAT(meaning_of(3).what, HasSubstr("exit code 3"));
  EXPECT_TRUE(meaning_of(75).may_resume);
  EXPECT_FALSE(meaning_of(65).may_resume);
  for (int code = 0; code < 256; ++code) {
    EXPECT_FALSE(meaning_of(code).what.empty());
    EXPECT_FALSE(meaning_of(code).what_now.empty());
  }
}

}  // namespace
}  // namespace yolodist::run
