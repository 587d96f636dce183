// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// Pickles put together from strings, so that tests can write what no Python would. Each function returns the
// bytes that push one value.
namespace yolodist::checkpoint::pickled {

using Pairs = std::vector<std::pair<std::string, std::string>>;  // pickled keys and values

template <typename T>
std::string raw(T value) {
  std::string bytes(sizeof(T), '\0');
  std::memcpy(bytes.data(), &value, sizeof(T));
  return bytes;
}

inline std::string none() {
  return "N";
}
inline std::string boolean(bool value) {
  return value ? "\x88" : "\x89";
}
inline std::string integer(int32_t value) {
  return "J" + raw(value);
}
inline std::string number(double value) {
  return "G" + raw(__builtin_bswap64(std::bit_cast<uint64_t>(value)));
}
inline std::string text(std::string_view value) {
  return "X" + raw(static_cast<uint32_t>(value.size())) + std::string(value);
}
inline std::string sequence(const std::vector<std::string>& items, char opcode) {
  std::string out = "(";
  for (const std::string& item : items) {
    out += item;
  }
  return out + opcode;
}
inline std::string list(const std::vector<std::string>& items) {
  return "]" + sequence(items, 'e');
}
inline std::string tuple(const std::vector<std::string>& items) {
  return sequence(items, 't');
}
inline std::string items_of(const Pairs& pairs) {
  std::string out = "(";
  for (const auto& [key, value] : pairs) {
    out += key + value;
  }
  return out + "u";
}
inline std::string dict(const Pairs& pairs) {
  return "}" + items_of(pairs);
}
// "module name", as protocols 2 and 3 write it, and as 4 and 5 do.
inline std::string global(const std::string& name) {
  std::string lines = name + "\n";
  lines[lines.find(' ')] = '\n';
  return "c" + lines;
}
inline std::string stack_global(const std::string& name) {
  const size_t space = name.find(' ');
  const auto short_text = [](const std::string& value) {
    return "\x8c" + std::string(1, static_cast<char>(value.size())) + value;
  };
  return short_text(name.substr(0, space)) + short_text(name.substr(space + 1)) + "\x93";
}
inline std::string call(const std::string& pickled_global, const std::vector<std::string>& arguments) {
  return pickled_global + tuple(arguments) + "R";
}
inline std::string ordered(const Pairs& pairs) {
  return call(global("collections OrderedDict"), {}) + items_of(pairs);
}
// An object made without a call whose attributes are set to `state`.
inline std::string object(const std::string& pickled_global, const std::string& state) {
  return pickled_global + ")\x81" + state + "b";
}

}  // namespace yolodist::checkpoint::pickled
