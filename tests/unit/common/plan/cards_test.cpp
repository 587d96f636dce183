// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/plan/cards.h"

#include <gmock/gmock.h>

#include <fstream>

#include "tests/support/temporary_folder.h"
#include "tests/support/thrown.h"

namespace yolodist::plan {
namespace {

using test::thrown;
using testing::AllOf;
using testing::HasSubstr;

const CardCatalogue& shipped() {
  static const CardCatalogue catalogue = read_cards(YOLODIST_SOURCE_DIR "/share/yolodist/cards.yaml");
  return catalogue;
}

TEST(Cards, TheShippedOnesAreThereAndPlausible) {
  EXPECT_EQ(shipped().cards.size(), 11u);
  for (const Card& card : shipped().cards) {
    EXPECT_GT(card.memory_bytes, 14'000'000'000) << card.name;
    EXPECT_LT(card.memory_bytes, 151'000'000'000) << card.name;
    EXPECT_GT(card.fp16_flops_per_s, card.fp32_flops_per_s) << card.name;
    EXPECT_GT(card.bytes_per_s, 1e11) << card.name;
    EXPECT_GT(card.overhead.context_bytes, 0) << card.name;
    EXPECT_EQ(card.capability.size(), 3u) << card.name;
  }
}

TEST(Cards, NamesAreForgiving) {
  const auto found = [](const char* name) { return find_card(shipped(), name).name; };
  EXPECT_EQ(found("V100-16GB"), "V100-16GB");
  EXPECT_EQ(found("v100-16gb"), "V100-16GB");
  EXPECT_EQ(found("V100 32"), "V100-32GB");
  EXPECT_EQ(found("rtx 4090"), "RTX4090");
  EXPECT_EQ(found("4090"), "RTX4090");
  EXPECT_EQ(found("NVIDIA GeForce RTX 3090"), "RTX3090");
  EXPECT_EQ(found("Tesla T4"), "T4");
  EXPECT_EQ(found("a100-8"), "A100-80GB");
  EXPECT_EQ(found("A10"), "A10") << "a whole name, though A100 begins so";
  EXPECT_EQ(found("h100-80gb"), "H100");
}

TEST(Cards, UnknownAndAmbiguousNamesAreRefusedWithTheList) {
  EXPECT_THAT(
      thrown<UsageError>([] { find_card(shipped(), "GTX 1080"); }),
      AllOf(HasSubstr("GTX 1080"), HasSubstr("V100-16GB"), HasSubstr("H200"), HasSubstr("--cards FILE")));
  EXPECT_THAT(thrown<UsageError>([] { find_card(shipped(), "v100"); }),
              AllOf(HasSubstr("ambiguous"), HasSubstr("V100-16GB, V100-32GB")));
  EXPECT_THAT(thrown<UsageError>([] { find_card(shipped(), ""); }), HasSubstr("not known"));
}

TEST(Cards, RecognisesWhatTheDriverSays) {
  const auto recognised = [](const char* name, double gib) {
    const Card* card = recognise_card(shipped(), name, static_cast<int64_t>(gib * 1073741824));
    return card == nullptr ? std::string("-") : card->name;
  };
  EXPECT_EQ(recognised("NVIDIA A100-SXM4-40GB", 40.0), "A100-40GB");
  EXPECT_EQ(recognised("NVIDIA A100 80GB PCIe", 80.0), "A100-80GB");
  EXPECT_EQ(recognised("Tesla V100-SXM2-16GB", 16.0), "V100-16GB");
  EXPECT_EQ(recognised("NVIDIA H100 80GB HBM3", 79.65), "H100");
  EXPECT_EQ(recognised("NVIDIA H200", 140.4), "H200");
  EXPECT_EQ(recognised("Tesla T4", 15.0), "T4");
  EXPECT_EQ(recognised("NVIDIA A10", 22.49), "A10");
  EXPECT_EQ(recognised("NVIDIA GeForce RTX 4090", 23.99), "RTX4090");
  EXPECT_EQ(recognised("NVIDIA GeForce GTX 1080", 8), "-");
  EXPECT_EQ(recognised("NVIDIA A100-SXM4-40GB MIG 1g.5gb", 4.75), "-");
}

TEST(Cards, RatesFollowThePrecision) {
  const Card& card = find_card(shipped(), "V100-16GB");
  EXPECT_EQ(device_of_card(card, Precision::fp32).flops_per_s, card.fp32_flops_per_s);
  EXPECT_EQ(device_of_card(card, Precision::fp16).flops_per_s, card.fp16_flops_per_s);
  EXPECT_EQ(device_of_card(card, Precision::fp32).budget_bytes, card.memory_bytes);
}

class CardsFile : public testing::Test {
 protected:
  std::string refusal(const std::string& text) {
    return thrown<DataError>([&] { read(text); });
  }
  CardCatalogue read(const std::string& text) {
    const std::filesystem::path file = folder_.path() / "mine.yaml";
    std::ofstream(file) << text;
    return read_cards(file);
  }
  test::TemporaryFolder folder_;
};

TEST_F(CardsFile, OneOfYourOwnWithCalibration) {
  const CardCatalogue mine = read(
      "defaults: {context_mib: 100, nccl_mib: 10}\n"
      "cards:\n"
      "  X: {memory_gib: 4, capability: 6.1, fp32_tflops: 2, fp16_tflops: 2, bandwidth_gb_s: 100, "
      "context_mib: 200}\n");
  const Card& card = find_card(mine, "x");
  EXPECT_EQ(card.memory_bytes, int64_t{4} << 30);
  EXPECT_EQ(card.overhead.context_bytes, 200 << 20);
  EXPECT_EQ(card.overhead.nccl_bytes, 10 << 20);
  EXPECT_EQ(card.overhead.workspace_bytes, 0);
}

TEST_F(CardsFile, MistakesAreNamed) {
  EXPECT_THAT(refusal("x: 1\n"), AllOf(HasSubstr("mine.yaml"), HasSubstr("no cards")));
  EXPECT_THAT(refusal("cards: {X: 3}\n"), AllOf(HasSubstr("card X"), HasSubstr("mapping")));
  EXPECT_THAT(refusal("cards: {X: {capability: 7}}\n"),
              AllOf(HasSubstr("card X"), HasSubstr("memory_gib is missing")));
  EXPECT_THAT(refusal("cards: {X: {memory_gib: much}}\n"), AllOf(HasSubstr("memory_gib"), HasSubstr("much")));
  EXPECT_THAT(refusal("cards: {X: {memory_gib: -1}}\n"), HasSubstr("memory_gib"));
}

}  // namespace
}  // namespace yolodist::plan
