// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string_view>

namespace yolodist::telemetry {

// Adds `text` at the end of the file (made if it is not there), then fsync.
// Throws StorageError naming the file and the reason.
void append_durably(const std::filesystem::path& file, std::string_view text);

}  // namespace yolodist::telemetry
