// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/base/duration.h"

#include <array>
#include <charconv>
#include <cstdint>
#include <optional>
#include <vector>

#include "common/base/error.h"
#include "common/base/text.h"

namespace yolodist {
namespace {

constexpr int64_t minute_s = 60, hour_s = 60 * minute_s, day_s = 24 * hour_s;
constexpr int64_t largest = int64_t{1} << 32;  // of any part; guards the products

std::optional<int64_t> number(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size() || value < 0 ||
      value > largest) {
    return std::nullopt;
  }
  return value;
}

std::optional<int64_t> with_unit(std::string_view text) {
  struct Unit {
    std::string_view name;
    int64_t seconds;
  };
  constexpr std::array<Unit, 6> units = {
      {{"min", minute_s}, {"s", 1}, {"m", minute_s}, {"h", hour_s}, {"d", day_s}, {"", minute_s}}};
  for (const Unit& unit : units) {
    if (text.ends_with(unit.name)) {
      const auto value = number(text.substr(0, text.size() - unit.name.size()));
      return value ? std::optional(*value * unit.seconds) : std::nullopt;
    }
  }
  return std::nullopt;
}

// The parts between colons; with days they begin with hours, else they end with seconds.
std::optional<int64_t> with_colons(std::string_view text, bool has_days) {
  std::vector<int64_t> parts;
  for (const std::string& part : split(text, ':')) {
    const auto value = number(part);
    if (!value) {
      return std::nullopt;
    }
    parts.push_back(*value);
  }
  if (parts.size() > 3 || (parts.size() == 1 && !has_days)) {
    return std::nullopt;
  }
  if (has_days || parts.size() == 3) {
    parts.resize(3, 0);
    return parts[0] * hour_s + parts[1] * minute_s + parts[2];
  }
  return parts[0] * minute_s + parts[1];
}

std::optional<int64_t> seconds_of(std::string_view text) {
  const size_t dash = text.find('-');
  if (dash != std::string_view::npos) {
    const auto days = number(text.substr(0, dash));
    const auto rest = with_colons(text.substr(dash + 1), /*has_days=*/true);
    return days && rest ? std::optional(*days * day_s + *rest) : std::nullopt;
  }
  return text.find(':') == std::string_view::npos ? with_unit(text) : with_colons(text, /*has_days=*/false);
}

}  // namespace

std::chrono::seconds parse_duration(std::string_view text, std::string_view option) {
  const std::optional<int64_t> seconds = seconds_of(text);
  if (!seconds) {
    throw UsageError(cat(option, " '", text, "' is not a time"),
                     "Write 90s, 10min, 24h, HH:MM:SS or D-HH:MM:SS; a bare number is minutes, as in SLURM.");
  }
  return std::chrono::seconds(*seconds);
}

std::string to_string(std::chrono::seconds duration) {
  const auto total = static_cast<long long>(duration.count());
  const long long days = total / day_s, hours = total % day_s / hour_s;
  const long long minutes = total % hour_s / minute_s, seconds = total % minute_s;
  if (days > 0) {
    return printf_string("%lld-%02lld:%02lld:%02lld", days, hours, minutes, seconds);
  }
  if (hours > 0) {
    return printf_string("%lld:%02lld:%02lld", hours, minutes, seconds);
  }
  return printf_string("%lld:%02lld", minutes, seconds);
}

}  // namespace yolodist
