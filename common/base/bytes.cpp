// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/base/bytes.h"

#include <array>
#include <charconv>
#include <cmath>
#include <utility>

#include "common/base/error.h"
#include "common/base/text.h"

namespace yolodist {

std::string to_string(Bytes bytes) {
  static constexpr std::array<const char*, 5> units = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes.count);
  size_t unit = 0;
  while (std::abs(value) >= 1024.0 && unit + 1 < units.size()) {
    value /= 1024.0;
    ++unit;
  }
  const int decimals = unit == 0 || std::abs(value) >= 100 ? 0 : std::abs(value) >= 10 ? 1 : 2;
  return printf_string("%.*f %s", decimals, value, units[unit]);
}

Bytes parse_bytes(std::string_view text, std::string_view option) {
  static constexpr std::array<std::pair<std::string_view, double>, 14> units = {{
      {"", 1.0},
      {"b", 1.0},
      {"k", 1024.0},
      {"kib", 1024.0},
      {"kb", 1e3},
      {"m", 1048576.0},
      {"mib", 1048576.0},
      {"mb", 1e6},
      {"g", 1073741824.0},
      {"gib", 1073741824.0},
      {"gb", 1e9},
      {"t", 1099511627776.0},
      {"tib", 1099511627776.0},
      {"tb", 1e12},
  }};
  const std::string cleaned = trimmed(text);
  double value = 0;
  const auto [end, failure] = std::from_chars(cleaned.data(), cleaned.data() + cleaned.size(), value);
  if (failure == std::errc() && value >= 0) {
    const std::string unit = lower(trimmed(std::string_view(end, cleaned.data() + cleaned.size())));
    for (const auto& [name, factor] : units) {
      const double bytes = std::round(value * factor);
      if (unit == name && bytes < 9e18) {
        return {static_cast<int64_t>(bytes)};
      }
    }
  }
  throw UsageError(cat(option, ": '", text, "' is not an amount of memory"),
                   "Write a number with KiB, MiB, GiB, KB, MB or GB, for example 16GiB.");
}

std::vector<Bytes> parse_bytes_list(std::string_view text, std::string_view option) {
  std::vector<Bytes> list;
  for (const std::string& part : split(std::string(text), ',')) {
    list.push_back(parse_bytes(part, option));
  }
  return list;
}

Bytes parse_reserve(std::string_view text, Bytes budget, std::string_view option) {
  const std::string cleaned = trimmed(text);
  if (!cleaned.ends_with('%')) {
    return parse_bytes(cleaned, option);
  }
  double percent = 0;
  const std::string number = trimmed(std::string_view(cleaned).substr(0, cleaned.size() - 1));
  const char* const last = number.data() + number.size();
  const auto [end, failure] = std::from_chars(number.data(), last, percent);
  if (failure != std::errc() || end != last || percent < 0 || percent >= 100) {
    throw UsageError(cat(option, ": '", text, "' is not a share of the memory"),
                     "Write a percentage below 100, for example 5%, or an amount, for example 1GiB.");
  }
  return {static_cast<int64_t>(std::ceil(static_cast<double>(budget.count) * percent / 100))};
}

}  // namespace yolodist
