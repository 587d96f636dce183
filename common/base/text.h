// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace yolodist {

// Builds one string from anything that has operator<<. (g++ 12 has no <format>.)
template <typename... Parts>
std::string cat(const Parts&... parts) {
  std::ostringstream stream;
  (stream << ... << parts);
  return stream.str();
}

// printf-style: one number, one string or several, for fixed column widths.
[[gnu::format(printf, 1, 2)]] std::string printf_string(const char* format, ...);

std::string join(const std::vector<std::string>& parts, std::string_view separator);
std::vector<std::string> split(std::string_view text, char separator);
std::string trimmed(std::string_view text);
std::string lower(std::string_view text);

// The candidate nearest to `word` by edit distance, or "" if none is near enough to be what was meant.
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);

// The shortest decimal text that reads back to exactly this value ("nan", "inf" for those).
std::string exact_decimal(double value);
std::string exact_decimal(float value);

}  // namespace yolodist
