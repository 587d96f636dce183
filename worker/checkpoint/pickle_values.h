// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "worker/checkpoint/pickle_reader.h"

// Questions to ask the values of a pickle. None of it needs LibTorch.
namespace yolodist::checkpoint {

// Whether the value is what Python would build by calling this global ("module name").
bool calls(const PickleValue& value, std::string_view global);
// Whether the value describes a tensor or a parameter.
bool is_tensor(const PickleValue& value);
// The tensor inside a parameter, which wraps one; the value itself otherwise.
const PickleValue& unwrapped_tensor(const PickleValue& value);
// Whether a tensor's description calls this global. (Its storage names another, a storage type.)
bool is_rebuild_global(std::string_view global);

// The value under a key that is a text; nullptr if there is none. Of equal keys the last one counts, as in
// Python.
const PickleValue* lookup(const PickleValue& dict, std::string_view key);

// "torch.nn.modules.conv.Conv2d" for a global as PickleValue has it; cut after 120 characters.
std::string dotted(std::string global);

// Whether Python would run a program, import something or open a file by calling this global: os.system,
// builtins.eval and their like. Reading such a file is safe here, since nothing is called; but a checkpoint
// has no use for it, so the file is no honest one.
bool runs_code(std::string_view global);

// What to_json may make of a pickle of this size.
inline size_t data_budget_bytes(size_t pickle_bytes) {
  return 64 * pickle_bytes + (size_t{1} << 16);
}
// Plain data (None, booleans, numbers, texts, lists, tuples, dicts with texts or integers as keys) as
// JSON; integer keys become text. nullopt for anything else, for more than 64 levels, and once
// `budget_bytes`, of which every value takes 16 bytes and the length of its text, is used up: values may
// share parts, so that a small pickle can stand for a tree without end.
std::optional<nlohmann::json> to_json(const PickleValue& value, size_t& budget_bytes);

}  // namespace yolodist::checkpoint
