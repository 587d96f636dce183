// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace yolodist {

// An amount of memory or storage.
struct Bytes {
  int64_t count = 0;

  auto operator<=>(const Bytes&) const = default;
  Bytes operator+(Bytes other) const { return {count + other.count}; }
  Bytes& operator+=(Bytes other) {
    count += other.count;
    return *this;
  }
};

// "1.50 GiB", "312 MiB", "512 B".
std::string to_string(Bytes bytes);

// Reads "16GiB", "16 GB" (= 16e9), "500MB", "64KiB" or a bare number of bytes. Throws UsageError naming
// `option`.
Bytes parse_bytes(std::string_view text, std::string_view option);

// Reads one for all, or one for each separated by commas: "16GiB", "24GiB,8GiB".
std::vector<Bytes> parse_bytes_list(std::string_view text, std::string_view option);

// Reads what is to be kept free of `budget`: "5%" of it, or an amount as parse_bytes does. Throws UsageError
// naming `option`, also for 100 % and more.
Bytes parse_reserve(std::string_view text, Bytes budget, std::string_view option);

}  // namespace yolodist
