// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <functional>
#include <nlohmann/json_fwd.hpp>

namespace yolodist::train {

// Writes what training goes on from, `document` after a `schema: 1`, to the first of `place`(0), (1), … that
// is not there: a resumed run keeps what lies there. What cannot be written is a warning.
void write_numbered_report(const std::function<std::filesystem::path(int)>& place, nlohmann::json document);

}  // namespace yolodist::train
