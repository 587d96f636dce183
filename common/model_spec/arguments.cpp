// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/model_spec/arguments.h"

#include <cmath>

#include "common/base/error.h"
#include "common/base/text.h"

namespace yolodist::model_spec {
namespace {

std::optional<int> whole_number(const Argument& argument, int low, int high) {
  const bool fits = argument.kind == Argument::Kind::number &&
                    argument.number == std::floor(argument.number) && argument.number >= low &&
                    argument.number <= high;
  return fits ? std::optional<int>(static_cast<int>(argument.number)) : std::nullopt;
}

}  // namespace

Argument number_argument(int value) {
  Argument argument;
  argument.kind = Argument::Kind::number;
  argument.number = value;
  argument.text = std::to_string(value);
  return argument;
}

std::string text_of(const std::vector<Argument>& arguments) {
  std::vector<std::string> parts;
  for (const Argument& argument : arguments) {
    parts.push_back(text_of(argument));
  }
  return cat("[", join(parts, ", "), "]");
}

// Python and yaml write all of these alike, but for a quote inside a text, which yaml doubles.
std::string text_of(const Argument& argument) {
  switch (argument.kind) {
    case Argument::Kind::none:
      return "None";
    case Argument::Kind::boolean:
      return argument.boolean ? "True" : "False";
    case Argument::Kind::number:
      return argument.text;
    case Argument::Kind::list:
      return text_of(argument.list);
    case Argument::Kind::text:
      break;
  }
  std::string quoted = "'";
  for (const char c : argument.text) {
    quoted += c == '\'' ? "''" : std::string(1, c);
  }
  return quoted + "'";
}

bool Arguments::has(size_t position) const {
  return position < values.size() && values[position].kind != Argument::Kind::none;
}

void Arguments::refuse(std::string_view claim, std::string hint) const {
  throw DataError(cat(place, ": ", block, ": ", claim), std::move(hint));
}

void Arguments::require_at_most(size_t count) const {
  if (values.size() > count) {
    refuse(cat("takes at most ", count, " arguments, has ", values.size(), ": ", text_of(values)));
  }
}

int Arguments::integer(size_t position, std::string_view name, std::optional<int> missing, int low,
                       int high) const {
  if (!has(position)) {
    if (!missing) {
      refuse(cat("argument ", position + 1, " (", name, ") is missing"));
    }
    return *missing;
  }
  const std::optional<int> value = whole_number(values[position], low, high);
  if (!value) {
    refuse(cat("argument ", position + 1, " (", name, ") should be an integer from ", low, " to ", high,
               ", is ", text_of(values[position])));
  }
  return *value;
}

double Arguments::number(size_t position, std::string_view name, double missing) const {
  if (!has(position)) {
    return missing;
  }
  if (values[position].kind != Argument::Kind::number) {
    refuse(
        cat("argument ", position + 1, " (", name, ") should be a number, is ", text_of(values[position])));
  }
  return values[position].number;
}

bool Arguments::boolean(size_t position, std::string_view name, bool missing) const {
  if (!has(position)) {
    return missing;
  }
  if (values[position].kind != Argument::Kind::boolean) {
    refuse(cat("argument ", position + 1, " (", name, ") should be True or False, is ",
               text_of(values[position])));
  }
  return values[position].boolean;
}

std::vector<int> Arguments::integers(size_t position, std::string_view name, std::vector<int> missing,
                                     int low, int high) const {
  if (!has(position)) {
    return missing;
  }
  std::vector<int> result;
  for (const Argument& element : values[position].list) {
    if (const std::optional<int> value = whole_number(element, low, high)) {
      result.push_back(*value);
    }
  }
  if (result.empty() || result.size() != values[position].list.size()) {
    refuse(cat("argument ", position + 1, " (", name, ") should be a list of integers from ", low, " to ",
               high, ", is ", text_of(values[position])));
  }
  return result;
}

}  // namespace yolodist::model_spec
