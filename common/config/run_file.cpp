// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/config/run_file.h"

#include <cmath>

#include <yaml-cpp/yaml.h>
#include <nlohmann/json.hpp>

#include "common/base/error.h"
#include "common/base/text.h"
#include "common/config/yaml_reading.h"

namespace yolodist::config {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

// A double that every yaml reader takes for one: with a point, also before the exponent (Python's wants it).
std::string float_text(double value) {
  if (std::isnan(value)) {
    return ".nan";
  }
  if (std::isinf(value)) {
    return value > 0 ? ".inf" : "-.inf";
  }
  std::string text = exact_decimal(value);
  if (text.find('.') == std::string::npos) {
    const size_t exponent = text.find('e');
    text.insert(exponent == std::string::npos ? text.size() : exponent, ".0");
  }
  return text;
}

// Words that need no quotes under any reader's rules: a letter first, then letters, digits and a few signs;
// and not one of the words that YAML 1.1 reads as a truth value or null.
bool is_plain_word(const std::string& text) {
  static const std::string letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  static const std::string others = "0123456789_./-+";
  if (text.empty() || (letters.find(text.front()) == std::string::npos && text.front() != '/')) {
    return false;
  }
  if (text.find_first_not_of(letters + others) != std::string::npos) {
    return false;
  }
  const std::string word = lower(text);
  for (const char* reserved : {"true", "false", "yes", "no", "on", "off", "y", "n", "null", "nan", "inf"}) {
    if (word == reserved) {
      return false;
    }
  }
  return true;
}

// A JSON string is also a double-quoted yaml one.
std::string string_text(const std::string& text) {
  return is_plain_word(text)
             ? text
             : ordered_json(text).dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

std::string scalar_text(const ordered_json& value) {
  if (value.is_string()) {
    return string_text(value.get_ref<const std::string&>());
  }
  if (value.is_number_float()) {
    return float_text(value.get<double>());
  }
  if (value.empty() && value.is_structured()) {
    return value.is_object() ? "{}" : "[]";
  }
  return value.dump();
}

bool is_block(const ordered_json& value) {
  return value.is_structured() && !value.empty();
}

void write_block(std::string& out, const ordered_json& value, const std::string& indent,
                 bool first_line_is_begun) {
  bool begun = first_line_is_begun;
  const auto begin_line = [&] {
    if (!begun) {
      out += indent;
    }
    begun = false;
  };
  if (value.is_object()) {
    for (const auto& [key, element] : value.items()) {
      begin_line();
      out += cat(string_text(key), ":");
      if (is_block(element)) {
        out += "\n";
        write_block(out, element, indent + "  ", false);
      } else {
        out += cat(" ", scalar_text(element), "\n");
      }
    }
  } else {
    for (const ordered_json& element : value) {
      begin_line();
      out += "- ";
      if (is_block(element)) {
        write_block(out, element, indent + "  ", true);
      } else {
        out += cat(scalar_text(element), "\n");
      }
    }
  }
}

json scalar_value(const YAML::Node& node) {
  const std::string& text = node.Scalar();
  if (node.Tag() == "!") {  // quoted
    return text;
  }
  if (const auto integer = as_integer(node)) {
    return *integer;
  }
  if (const auto number = as_number(node)) {
    return *number;
  }
  const std::string word = lower(text);
  if (word == "true" || word == "false") {
    return word == "true";
  }
  if (word == ".nan") {
    return std::nan("");
  }
  if (word == ".inf" || word == "-.inf") {
    return word == ".inf" ? HUGE_VAL : -HUGE_VAL;
  }
  return text;
}

json value_of(const YAML::Node& node, const std::string& where) {
  if (node.IsScalar()) {
    return scalar_value(node);
  }
  if (node.IsSequence()) {
    json list = json::array();
    for (const YAML::Node& element : node) {
      list.push_back(value_of(element, where));
    }
    return list;
  }
  if (node.IsMap()) {
    require_mapping(node, where, "a mapping");
    json object = json::object();
    for (const auto& entry : node) {
      object[entry.first.Scalar()] = value_of(entry.second, where);
    }
    return object;
  }
  return nullptr;
}

}  // namespace

std::string to_yaml(const ordered_json& document) {
  std::string out;
  if (is_block(document)) {
    write_block(out, document, "", false);
  } else {
    out = scalar_text(document) + "\n";
  }
  return out;
}

json from_yaml(const std::string& text, const std::string& where) {
  return value_of(parse_yaml(text, where), where);
}

}  // namespace yolodist::config
