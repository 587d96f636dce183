// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>

#include "common/base/error.h"

namespace yolodist::commands {

// An error as JSON and back, to tell it to the other ranks.
inline nlohmann::json error_to_json(const Error& error) {
  return {{"exit_code", to_int(error.exit_code())}, {"what", error.what()}, {"hint", error.hint()}};
}

inline Error error_from_json(const nlohmann::json& document) {
  return Error(static_cast<ExitCode>(document.at("exit_code").get<int>()),
               document.at("what").get<std::string>(), document.at("hint").get<std::string>());
}

}  // namespace yolodist::commands
