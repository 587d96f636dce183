// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/cli/memory_options.h"

#include <cstdint>

#include "common/base/bytes.h"
#include "common/base/error.h"
#include "common/base/text.h"
#include "launcher/cli/description.h"

namespace yolodist::cli {

void add_memory(boost::program_options::options_description& to, std::string& device_memory,
                std::string& memory_reserve, std::string& recompute, bool& allow_recipe_change) {
  add(to, "device-memory", text(device_memory, "16GiB[,8GiB]"),
      "budget of each device, or one for each rank; 0 = the whole card, none on the CPU. 16GB = 16e9, a bare "
      "number is bytes");
  add(to, "memory-reserve", text(memory_reserve, "5%|1GiB"),
      "kept free of each device's budget beyond the plan");
  add(to, "recompute", text(recompute, "auto|none|activations|blocks"),
      "what backward computes again instead of keeping it; auto = as little as fits");
  add(to, "allow-recipe-change", flag(allow_recipe_change),
      "lower --bn-group when nothing else makes it fit");
}

std::vector<Bytes> checked_memory(const std::string& device_memory, const std::string& memory_reserve,
                                  const std::string& recompute) {
  const std::vector<Bytes> budgets = parse_bytes_list(device_memory, "--device-memory");
  for (const Bytes budget : budgets) {
    parse_reserve(memory_reserve, budget, "--memory-reserve");
  }
  require(recompute == "auto" || recompute == "none" || recompute == "activations" || recompute == "blocks",
          "recompute", cat("'", recompute, "'"), "auto, none, activations or blocks");
  return budgets;
}

int automatic_or_number(const char* option, const std::string& text) {
  return text == "auto" ? 0 : whole_number(option, text, 1, "auto or at least 1");
}

std::vector<int> shard_of_text(const std::string& text) {
  std::vector<int> shard;
  if (text != "auto") {
    for (const std::string& part : split(text, ',')) {
      shard.push_back(whole_number("shard", trimmed(part), 0, "auto, or pictures for each rank: 6,6,2,2"));
    }
  }
  return shard;
}

void check_batch(int global_batch, const std::vector<int>& shard, int ranks) {
  if (global_batch == -1 && !shard.empty()) {
    throw UsageError("--batch-size -1 and --shard do not go together: the shard says how large the batch is",
                     "Give one of them.");
  }
  require(global_batch >= 1 || global_batch == -1, "batch-size", std::to_string(global_batch),
          "at least 1, or -1 for the largest that fits");
  if (shard.empty()) {
    return;
  }
  int64_t sum = 0;
  for (const int pictures : shard) {
    sum += pictures;
  }
  require(sum == global_batch, "shard", cat("for ", sum, " pictures"),
          cat("for the ", global_batch, " of --batch-size").c_str());
  require(ranks == 0 || ranks == static_cast<int>(shard.size()), "shard", cat("for ", shard.size(), " ranks"),
          cat("for the ", ranks, " of --ranks").c_str());
}

std::string optimizer_name(const std::string& text) {
  for (const char* name : {"SGD", "Adam", "AdamW"}) {
    if (lower(text) == lower(name)) {
      return name;
    }
  }
  throw UsageError(cat("--optimizer is '", text, "', should be SGD, Adam or AdamW"));
}

}  // namespace yolodist::cli
