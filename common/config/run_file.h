// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>

#include <nlohmann/json_fwd.hpp>

namespace yolodist::config {

// JSON (objects, arrays, scalars) as block-style YAML text, keys in the order of an ordered_json, and back.
// Used for run.yaml. from_yaml throws DataError naming `where` and the line.
std::string to_yaml(const nlohmann::ordered_json& document);
nlohmann::json from_yaml(const std::string& text, const std::string& where);

}  // namespace yolodist::config
