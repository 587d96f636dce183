// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/program_options.hpp>
#include <string>
#include <vector>

#include "common/base/bytes.h"

// Options about memory that train and plan share.
namespace yolodist::cli {

// --device-memory, --memory-reserve, --recompute, --allow-recipe-change.
void add_memory(boost::program_options::options_description& to, std::string& device_memory,
                std::string& memory_reserve, std::string& recompute, bool& allow_recipe_change);
// The budgets of --device-memory: one for all ranks, or one each. Throws UsageError for it and the others.
std::vector<Bytes> checked_memory(const std::string& device_memory, const std::string& memory_reserve,
                                  const std::string& recompute);

// "auto" = 0, or a number of at least 1.
int automatic_or_number(const char* option, const std::string& text);
// "auto" = empty, or "6,6,2,2".
std::vector<int> shard_of_text(const std::string& text);
// Throws UsageError for a batch below 1 but -1, for -1 with a shard, and for a shard that does not sum to the
// batch or is not for `ranks` ranks (0 = not said).
void check_batch(int global_batch, const std::vector<int>& shard, int ranks);
// "sgd" -> "SGD".
std::string optimizer_name(const std::string& text);

}  // namespace yolodist::cli
