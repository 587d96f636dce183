// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace yolodist::memory {

// A card's memory as its driver sees it, whoever holds it.
struct CardUse {
  int64_t used_bytes = 0, total_bytes = 0;
  // Nothing where this process cannot be told from others: in a container with process numbers of its own.
  std::optional<int64_t> others_bytes;
};

// Asks NVML, loaded at run time. Whatever is missing, the driver, the card, an answer, leaves readings out
// and is no error. For one thread at a time.
class CardReader {
 public:
  // `uuid`: "GPU-…", or "MIG-…" for a slice of a card; "" = no card.
  explicit CardReader(const std::string& uuid, const std::string& library = "libnvidia-ml.so.1");
  ~CardReader();
  CardReader(const CardReader&) = delete;
  CardReader& operator=(const CardReader&) = delete;

  std::optional<CardUse> read() const;

 private:
  struct Nvml;
  std::unique_ptr<Nvml> nvml_;
};

}  // namespace yolodist::memory
