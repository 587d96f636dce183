// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/commands/plan.h"
#include "common/plan/budgets.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "common/base/error.h"
#include "launcher/commands/placement.h"
#include "tests/support/thrown.h"

namespace yolodist::commands {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

struct Answer {
  int exit_code = 0;
  std::string text;
  json document() const { return json::parse(text); }
};

Answer answer(const std::vector<std::string>& words) {
  testing::internal::CaptureStdout();
  Answer answer;
  try {
    answer.exit_code = plan(words);
  } catch (...) {
    testing::internal::GetCapturedStdout();
    throw;
  }
  std::fflush(stdout);
  answer.text = testing::internal::GetCapturedStdout();
  return answer;
}

TEST(PlanCommand, AnswersForCardsThatAreNotHere) {
  const Answer x6 = answer(
      {"--model", "yolov5x6", "--img", "1280", "--batch", "32", "--ranks", "4", "--card", "T4", "--json"});
  EXPECT_EQ(x6.exit_code, 0);
  const json document = x6.document();
  EXPECT_EQ(document["model"], "yolov5x6");
  EXPECT_EQ(document["ranks"].size(), 4u);
  EXPECT_EQ(document["ranks"][3]["card"], "T4");
  EXPECT_NE(document["ranks"][3]["recompute"], "none");
  EXPECT_EQ(document["ranks"][3]["precision"], "fp16") << "as a training takes it on a card";
  EXPECT_LE(document["ranks"][3]["peak_bytes"]["device"], document["ranks"][3]["budget_bytes"]);
  const Answer plain = answer({"--model", "yolov5x6", "--img", "1280", "--batch", "32", "--ranks", "4",
                               "--card", "T4", "--recompute", "none", "--json"});
  EXPECT_EQ(plain.exit_code, 71);
  EXPECT_EQ(plain.document()["fits"], false);
}

TEST(PlanCommand, SaysWhichCardsThisBuildDoesNotRunOn) {
  const std::vector<std::string> words = {"--model", "yolov5n", "--img", "64", "--batch", "2", "--card"};
  const auto on = [&](std::vector<std::string> cards, bool json) {
    cards.insert(cards.begin(), words.begin(), words.end());
    if (json) {
      cards.emplace_back("--json");
    }
    return answer(cards);
  };
  const std::string capabilities = device::capabilities_text(cuda_build());
  if (capabilities.empty()) {
    GTEST_SKIP() << "built without LibTorch";
  }
  const Answer unknown = on({"T4", "A100-80GB"}, true);
  EXPECT_EQ(unknown.document()["build"]["capabilities"], capabilities);
  ASSERT_EQ(unknown.document()["build"]["cards"].size(), 2u);
  EXPECT_EQ(unknown.document()["build"]["cards"][0]["runs"], true);
  EXPECT_THAT(on({"T4"}, false).text, Not(HasSubstr("Not with this yolodist")));
  const bool is_cuda_13 = cuda_build().cuda.starts_with("13.");
  const Answer v100 = on({"V100-16GB"}, false);
  EXPECT_EQ(v100.exit_code, 0) << "a plan is made all the same";
  if (is_cuda_13) {
    EXPECT_THAT(v100.text, AllOf(HasSubstr("Not with this yolodist: V100-16GB has compute capability 7.0"),
                                 HasSubstr("build yolodist with LibTorch 2.7.1 (CUDA 12.6")));
  } else {
    EXPECT_THAT(v100.text, Not(HasSubstr("Not with this yolodist")));
  }
  EXPECT_EQ(on({"V100-16GB"}, true).document()["build"]["cards"][0]["runs"], !is_cuda_13);
}

TEST(PlanCommand, UnlikeCardsGetARankEach) {
  const json document =
      answer({"--model", "yolov5m6", "--img", "1280", "--batch", "8", "--card", "t4", "a100-80", "--json"})
          .document();
  EXPECT_EQ(document["ranks"][0]["card"], "T4");
  EXPECT_EQ(document["ranks"][1]["card"], "A100-80GB");
  EXPECT_EQ(document["ranks"][1]["recompute"], "none");
}

TEST(PlanCommand, OneCpuWithABudget) {
  const Answer text = answer({"--model", "yolov5n", "--device", "cpu", "--device-memory", "2GiB"});
  EXPECT_EQ(text.exit_code, 0);
  EXPECT_THAT(text.text, AllOf(HasSubstr("yolov5n, 640 px, batch 16"), HasSubstr("same as YOLOv5"),
                               HasSubstr("2.00 GiB")));
  const Answer largest = answer({"--model", "yolov5n", "--device", "cpu", "--ranks", "2", "--device-memory",
                                 "1GiB", "--memory-reserve", "10%", "--batch", "-1", "--json"});
  const json document = largest.document();
  EXPECT_EQ(document["global_batch"], document["max_global_batch"]);
  EXPECT_EQ(document["ranks"][0]["budget_bytes"], (int64_t{1} << 30) - 107374183);
}

TEST(PlanCommand, SeveralCasesAreARowEach) {
  const Answer text =
      answer({"--model", "yolov5n", "yolov5s", "--img", "640", "1280", "--card", "A100-40GB"});
  EXPECT_THAT(text.text, AllOf(HasSubstr("most/rank"), HasSubstr("rule of thumb")));
  size_t rows = 0;
  for (size_t at = text.text.find("A100-40GB"); at != std::string::npos;
       at = text.text.find("A100-40GB", at + 1)) {
    ++rows;
  }
  EXPECT_EQ(rows, 4u) << text.text;
  const Answer document =
      answer({"--model", "yolov5n", "--img", "640", "1280", "--card", "A100-40GB", "--json"});
  EXPECT_EQ(document.document()["plans"].size(), 2u);
}

TEST(PlanCommand, MistakesAreNamed) {
  const auto refusal = [](const std::vector<std::string>& words) {
    return test::thrown<UsageError>([&] { answer(words); });
  };
  EXPECT_THAT(refusal({"--model", "yolov5n", "--card", "gtx"}), HasSubstr("V100-16GB"));
  EXPECT_THAT(refusal({"--model", "yolov5n", "--card", "t4", "--precision", "fp64"}),
              HasSubstr("for the CPU"));
  EXPECT_THAT(refusal({"--model", "yolov5n", "--device", "cpu", "--batch", "-1"}),
              HasSubstr("--device-memory"));
  EXPECT_THAT(test::thrown<DataError>([] { answer({"--model", "yolov5q"}); }), HasSubstr("yolov5q"));
  EXPECT_THAT(test::thrown<DataError>([] {
                answer({"--model", "yolov5n", "--cards", "/nowhere.yaml"});
              }),
              HasSubstr("/nowhere.yaml"));
}

TEST(SetBudgets, TakesTheSmallerAndTheReserve) {
  std::vector<plan::Device> devices(2);
  devices[0].budget_bytes = 1000;
  plan::set_budgets(devices, {600}, "10%");
  EXPECT_EQ(devices[0].budget_bytes, 540);
  EXPECT_EQ(devices[1].budget_bytes, 540) << "no budget before";
  devices[0].budget_bytes = 0;
  plan::set_budgets(devices, {0}, "5%");
  EXPECT_EQ(devices[0].budget_bytes, 0) << "nothing to keep free of";
  EXPECT_THAT(test::thrown<UsageError>([&] { plan::set_budgets(devices, {600}, "1KiB"); }),
              HasSubstr("leaves nothing"));
}

TEST(PlannedDevice, IsARowOfTheCatalogueWhereItIsOne) {
  const plan::CardCatalogue catalogue = plan::read_cards(YOLODIST_SOURCE_DIR "/share/yolodist/cards.yaml");
  const auto planned = [&](const char* name, int64_t mib) {
    return planned_device(catalogue, {0, "GPU-1", "pci", name, Bytes{mib << 20}}, plan::Precision::fp32);
  };
  const plan::Device known = planned("NVIDIA A100-SXM4-40GB", 40960);
  EXPECT_EQ(known.card, "A100-40GB");
  EXPECT_EQ(known.uuid, "GPU-1");
  EXPECT_LT(known.budget_bytes, int64_t{40960} << 20) << "what the driver keeps is not for us";
  const plan::Device other = planned("NVIDIA RTX 9000", 20000);
  EXPECT_EQ(other.card, "NVIDIA RTX 9000");
  EXPECT_EQ(other.budget_bytes, int64_t{20000} << 20);
  EXPECT_GT(other.overhead.context_bytes, 0);
}

}  // namespace
}  // namespace yolodist::commands
