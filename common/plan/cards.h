// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/plan/planner.h"

namespace yolodist::plan {

// A row of cards.yaml.
struct Card {
  std::string name;  // "V100-16GB"
  std::vector<std::string> aliases;
  int64_t memory_bytes = 0;  // that the CUDA runtime reports as total
  std::string capability;    // "7.0"
  double fp32_flops_per_s = 0, fp16_flops_per_s = 0, bytes_per_s = 0;  // peaks
  Overhead overhead;
};

struct CardCatalogue {
  std::vector<Card> cards;
  Overhead defaults;   // of a card that is not in the list
  std::string origin;  // the file, for errors
};

// Reads cards.yaml, the shipped one or one in its form. Throws DataError naming file, card and key.
CardCatalogue read_cards(const std::filesystem::path& file);
// share/yolodist/cards.yaml.
CardCatalogue read_shipped_cards();

// By name or alias, as whole words or as a beginning that fits one card only; case, blanks, dashes and the
// maker's words do not count. Throws UsageError with the list for one that is not there or is ambiguous.
const Card& find_card(const CardCatalogue& catalogue, std::string_view name);

// The row that a device of this machine is: `device_name` as the driver says it ("NVIDIA A100-SXM4-40GB"),
// `memory_bytes` as it reports it. nullptr for one that is not in the list.
const Card* recognise_card(const CardCatalogue& catalogue, std::string_view device_name,
                           int64_t memory_bytes);

// A rank on such a card, all of its memory as budget.
Device device_of_card(const Card& card, Precision precision);
// A rank on a CUDA device that the list does not have: middling rates, the catalogue's default overhead.
Device unlisted_device(const CardCatalogue& catalogue, std::string name, int64_t memory_bytes);

}  // namespace yolodist::plan
