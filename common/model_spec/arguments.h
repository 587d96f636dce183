// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace yolodist::model_spec {

// A value in the argument list of a model yaml's row.
struct Argument {
  enum class Kind { none, boolean, number, text, list } kind = Kind::none;
  bool boolean = false;
  double number = 0;
  std::string text;  // of a text: itself; of a number: as it is written
  std::vector<Argument> list;
};

Argument number_argument(int value);

// As Python prints it in the summary, which is also its yaml in flow style: [64, 64, 1, False], 'nearest',
// None.
std::string text_of(const Argument& argument);
std::string text_of(const std::vector<Argument>& arguments);

// The arguments of one row, read by position like those of a call; a missing one has the default. Every error
// is a DataError that begins with `place` ("file:line") and names the block and the argument.
struct Arguments {
  std::string place;
  std::string block;
  std::vector<Argument> values;

  // Given, and not None.
  bool has(size_t position) const;
  void require_at_most(size_t count) const;
  // Without a default the argument has to be given.
  int integer(size_t position, std::string_view name, std::optional<int> missing, int low, int high) const;
  double number(size_t position, std::string_view name, double missing) const;
  bool boolean(size_t position, std::string_view name, bool missing) const;
  std::vector<int> integers(size_t position, std::string_view name, std::vector<int> missing, int low,
                            int high) const;
  [[noreturn]] void refuse(std::string_view claim, std::string hint = "") const;
};

}  // namespace yolodist::model_spec
