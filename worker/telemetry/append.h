// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string_view>

namespace yolodist::telemetry {

// Adds `text` at the end of the file (made if it is not there), so that other programs see it. On failure
// (no room) what was written of it is taken back. One process appends to a file at a time.
// Throws StorageError naming the file and the reason.
void append(const std::filesystem::path& file, std::string_view text);

// The same, then fsync: with all that was appended before, it outlives the machine's end.
void append_durably(const std::filesystem::path& file, std::string_view text);

}  // namespace yolodist::telemetry
