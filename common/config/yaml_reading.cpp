// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/config/yaml_reading.h"

#include <charconv>
#include <cmath>
#include <map>
#include <sstream>
#include <string_view>

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include "common/base/error.h"
#include "common/base/text.h"

namespace yolodist::config {
namespace {

// A quoted scalar carries the tag "!"; "3" in quotes is text, as for every yaml reader.
bool is_plain_scalar(const YAML::Node& node) {
  return node.IsDefined() && node.IsScalar() && node.Tag() != "!";
}

template <typename Number>
std::optional<Number> parsed(std::string_view text) {
  if (text.starts_with('+')) {
    text.remove_prefix(1);
    if (text.starts_with('-')) {
      return std::nullopt;
    }
  }
  Number value{};
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure != std::errc() || end != text.data() + text.size()) {
    return std::nullopt;
  }
  return value;
}

// Looks for aliases (*name) before nodes are made: a file that names a part of itself inside that part would
// never come to an end, and a few lines of aliases to aliases make more nodes than memory holds.
class AliasRefusal : public YAML::EventHandler {
 public:
  explicit AliasRefusal(const std::string& where) : where_(where) {}

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    throw DataError(cat(where_, ":", mark.line + 1, ": an alias (*name) is not supported"),
                    "Write the value out.");
  }
  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t, const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {
  }
  void OnMapEnd() override {}

 private:
  const std::string& where_;
};

}  // namespace

YAML::Node parse_yaml(const std::string& text, const std::string& where) {
  try {
    std::istringstream stream(text);
    AliasRefusal refusal(where);
    YAML::Parser(stream).HandleNextDocument(refusal);
    return YAML::Load(text);
  } catch (const YAML::Exception& failure) {
    const std::string place = failure.mark.is_null() ? where : cat(where, ":", failure.mark.line + 1);
    throw DataError(cat(place, ": not valid yaml: ", failure.msg),
                    "Correct the file there; yaml wants spaces, never tabs, before a key.");
  }
}

std::string place_of(const YAML::Node& node, const std::string& where) {
  // A value that is left out is marked at what comes next, often on a later line.
  const bool is_written = node.IsDefined() && !node.IsNull();
  const YAML::Mark mark = is_written ? node.Mark() : YAML::Mark::null_mark();
  return mark.is_null() ? where : cat(where, ":", mark.line + 1);
}

void require_mapping(const YAML::Node& node, const std::string& where, const std::string& what) {
  if (!node.IsDefined() || !node.IsMap()) {
    throw DataError(
        cat(place_of(node, where), ": ", what, " should be lines of 'key: value', is ", shown(node)));
  }
  std::map<std::string, std::string> places;
  for (const auto& entry : node) {
    if (!entry.first.IsScalar()) {
      throw DataError(cat(place_of(entry.first, where), ": a key of ", what, " should be a word, is ",
                          shown(entry.first)));
    }
    const auto [first, is_new] = places.emplace(entry.first.Scalar(), place_of(entry.first, where));
    if (!is_new) {
      throw DataError(cat(place_of(entry.first, where), ": the key '", first->first, "' of ", what,
                          " is here for the second time, first at ", first->second),
                      "Remove one of them.");
    }
  }
}

bool has_value(const YAML::Node& node) {
  return node.IsDefined() && !node.IsNull() && !(node.IsScalar() && trimmed(node.Scalar()).empty());
}

std::optional<double> as_number(const YAML::Node& node) {
  if (!is_plain_scalar(node)) {
    return std::nullopt;
  }
  const std::optional<double> value = parsed<double>(node.Scalar());
  return value && std::isfinite(*value) ? value : std::nullopt;
}

std::optional<int64_t> as_integer(const YAML::Node& node) {
  return is_plain_scalar(node) ? parsed<int64_t>(node.Scalar()) : std::nullopt;
}

double read_number(const YAML::Node& node, const std::string& where, const std::string& what) {
  const std::optional<double> value = as_number(node);
  if (!value) {
    throw DataError(cat(place_of(node, where), ": ", what, " should be a number, is ", shown(node)));
  }
  return *value;
}

int64_t read_integer(const YAML::Node& node, const std::string& where, const std::string& what) {
  const std::optional<int64_t> value = as_integer(node);
  if (!value) {
    throw DataError(cat(place_of(node, where), ": ", what, " should be an integer, is ", shown(node)));
  }
  return *value;
}

std::string read_text(const YAML::Node& node, const std::string& where, const std::string& what) {
  if (!has_value(node) || !node.IsScalar()) {
    throw DataError(cat(place_of(node, where), ": ", what, " should be text, is ", shown(node)));
  }
  return node.Scalar();
}

std::string shown(const YAML::Node& node) {
  if (!node.IsDefined() || node.IsNull()) {
    return "nothing";
  }
  if (node.IsScalar()) {
    return cat("'", node.Scalar(), "'");
  }
  return node.IsSequence() ? "a list" : "a mapping";
}

}  // namespace yolodist::config
