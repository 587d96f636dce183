// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/model_spec/definition.h"

#include <charconv>

#include <yaml-cpp/yaml.h>

#include "common/base/error.h"
#include "common/base/text.h"
#include "common/config/yaml_reading.h"

namespace yolodist::model_spec {
namespace {

constexpr int highest_class_count = 100000;
constexpr int highest_repeats = 1000;

// A yaml file being read, with its name for errors.
struct Source {
  YAML::Node root;
  std::string where;

  std::string place(const YAML::Node& node) const { return config::place_of(node, where); }

  [[noreturn]] void refuse(const YAML::Node& node, std::string_view claim, std::string hint = "") const {
    throw DataError(cat(place(node), ": ", claim), std::move(hint));
  }

  int integer(const YAML::Node& node, const std::string& what, int low, int high) const {
    const int64_t value = config::read_integer(node, where, what);
    if (value < low || value > high) {
      refuse(node, cat(what, " should be from ", low, " to ", high, ", is ", value));
    }
    return static_cast<int>(value);
  }

  double multiple(const std::string& key) const {
    const YAML::Node node = root[key];
    if (!node.IsDefined()) {
      refuse(node, cat(key, " is missing"), cat("Add a line such as '", key, ": 1.0'."));
    }
    const double value = config::read_number(node, where, key);
    if (value <= 0 || value > 100) {
      refuse(node, cat(key, " should be more than 0 and at most 100, is ", exact_decimal(value)));
    }
    return value;
  }
};

int read_class_count(const Source& source, int wanted) {
  const YAML::Node node = source.root["nc"];
  if (node.IsDefined()) {
    const int written = source.integer(node, "nc", 1, highest_class_count);
    return wanted > 0 ? wanted : written;
  }
  if (wanted <= 0) {
    source.refuse(node, "nc is missing", "Add the number of classes, for example 'nc: 80'.");
  }
  return wanted;
}

std::vector<std::vector<std::array<double, 2>>> read_anchors(const Source& source) {
  const YAML::Node node = source.root["anchors"];
  if (!node.IsDefined()) {
    source.refuse(node, "anchors is missing", "Add a list with one list of widths and heights a level.");
  }
  if (config::as_integer(node)) {
    source.refuse(
        node, cat("anchors: ", node.Scalar(), " is a number, not anchors"),
        "Write anchors out, one list a level of widths and heights in pixels, [10,13, 16,30, 33,23]; AutoAnchor "
        "replaces what does not fit the labels.");
  }
  if (!node.IsSequence() || node.size() == 0) {
    source.refuse(node, cat("anchors should be a list with one list a level, is ", config::shown(node)));
  }
  std::vector<std::vector<std::array<double, 2>>> levels;
  for (const YAML::Node& row : node) {
    if (!row.IsSequence() || row.size() == 0 || row.size() % 2 != 0) {
      source.refuse(row, "the anchors of a level should be a list of pairs of width and height");
    }
    std::vector<std::array<double, 2>> level;
    for (size_t i = 0; i < row.size(); i += 2) {
      const double w = config::read_number(row[i], source.where, "an anchor's width");
      const double h = config::read_number(row[i + 1], source.where, "an anchor's height");
      if (w <= 0 || h <= 0) {
        source.refuse(row, "the sides of an anchor should be more than 0");
      }
      level.push_back({w, h});
    }
    if (!levels.empty() && level.size() != levels.front().size()) {
      source.refuse(row, cat("this level has ", level.size(), " anchors, the first ", levels.front().size()));
    }
    levels.push_back(std::move(level));
  }
  return levels;
}

// "nn.LeakyReLU(0.1)" -> "LeakyReLU(0.1)"; "" if it is none that we have.
std::string activation_of(const std::string& written) {
  std::string text;
  for (const char c : written) {
    if (c != ' ') {
      text += c;
    }
  }
  if (text.starts_with("torch.")) {
    text.erase(0, 6);
  }
  if (!text.starts_with("nn.") || !text.ends_with(")")) {
    return "";
  }
  const size_t open = text.find('(');
  if (open == std::string::npos) {
    return "";
  }
  const std::string name = text.substr(3, open - 3);
  std::vector<std::string> arguments;
  for (const std::string& argument : split(text.substr(open + 1, text.size() - open - 2), ',')) {
    if (!argument.empty() && argument != "inplace=True" &&
        argument != "inplace=False") {  // in place or not: same result
      arguments.push_back(argument);
    }
  }
  if (name == "LeakyReLU" && arguments.size() <= 1) {
    std::string slope_text = arguments.empty() ? "0.01" : arguments.front();  // PyTorch's default
    if (slope_text.starts_with("negative_slope=")) {
      slope_text.erase(0, 15);
    }
    double slope = 0;
    const auto [end, failure] =
        std::from_chars(slope_text.data(), slope_text.data() + slope_text.size(), slope);
    return failure == std::errc() && *end == '\0' ? cat("LeakyReLU(", exact_decimal(slope), ")") : "";
  }
  const bool is_known = name == "SiLU" || name == "ReLU" || name == "Hardswish" || name == "Identity";
  return is_known && arguments.empty() ? name : "";
}

Argument read_argument(const Source& source, const YAML::Node& node) {
  Argument argument;
  if (node.IsSequence()) {
    argument.kind = Argument::Kind::list;
    for (const YAML::Node& element : node) {
      argument.list.push_back(read_argument(source, element));
    }
    return argument;
  }
  if (node.IsNull()) {
    return argument;
  }
  if (!node.IsScalar()) {
    source.refuse(node, "an argument should be a number, a word or a list");
  }
  argument.text = node.Scalar();
  const std::string word = lower(argument.text);
  if (word == "none") {
    return argument;
  }
  if (word == "true" || word == "false") {
    argument.kind = Argument::Kind::boolean;
    argument.boolean = word == "true";
  } else if (const auto number = config::as_number(node)) {
    argument.kind = Argument::Kind::number;
    argument.number = *number;
  } else {
    argument.kind = Argument::Kind::text;
  }
  return argument;
}

Row read_row(const Source& source, const YAML::Node& node, bool is_in_head) {
  if (!node.IsSequence() || node.size() != 4) {
    source.refuse(node, "a layer should be a list of four, [from, number, module, args]",
                  "For example [-1, 3, C3, [128]].");
  }
  constexpr int highest_index = 100000;
  Row row;
  row.is_in_head = is_in_head;
  row.from_is_list = node[0].IsSequence();
  if (row.from_is_list) {
    for (const YAML::Node& element : node[0]) {
      row.from.push_back(source.integer(element, "a source of a layer", -highest_index, highest_index));
    }
  } else {
    row.from = {source.integer(node[0], "the source of a layer", -highest_index, highest_index)};
  }
  if (row.from.empty()) {
    source.refuse(node, "a layer needs a source");
  }
  row.number = source.integer(node[1], "the number of a layer", 1, highest_repeats);
  row.module = config::read_text(node[2], source.where, "the module of a layer");
  if (!node[3].IsSequence()) {
    source.refuse(node[3], cat("the arguments of a layer should be a list, is ", config::shown(node[3])));
  }
  row.arguments = {source.place(node), row.module, read_argument(source, node[3]).list};
  return row;
}

void read_rows(const Source& source, const std::string& key, bool is_in_head, std::vector<Row>& rows) {
  const YAML::Node node = source.root[key];
  if (!node.IsDefined() || !node.IsSequence() || node.size() == 0) {
    source.refuse(node, cat(key, " should be a list of layers, is ", config::shown(node)));
  }
  for (const YAML::Node& row : node) {
    rows.push_back(read_row(source, row, is_in_head));
  }
}

std::string anchors_text(const std::vector<std::array<double, 2>>& level) {
  std::vector<std::string> pairs;
  for (const auto& [w, h] : level) {
    pairs.push_back(cat(exact_decimal(w), ",", exact_decimal(h)));
  }
  return cat("[", join(pairs, ", "), "]");
}

}  // namespace

std::string Row::from_text() const {
  std::vector<std::string> parts;
  for (const int index : from) {
    parts.push_back(std::to_string(index));
  }
  return from_is_list ? cat("[", join(parts, ", "), "]") : parts.front();
}

Definition read_definition(const std::string& text, const std::string& where, int class_count) {
  const Source source{config::parse_yaml(text, where), where};
  config::require_mapping(source.root, where, "a model yaml");
  Definition definition;
  definition.class_count = read_class_count(source, class_count);
  definition.depth_multiple = source.multiple("depth_multiple");
  definition.width_multiple = source.multiple("width_multiple");
  definition.anchors_px = read_anchors(source);
  definition.anchors_place = source.place(source.root["anchors"]);
  if (const YAML::Node node = source.root["activation"]; config::has_value(node)) {
    definition.activation_written = config::read_text(node, where, "activation");
    definition.activation = activation_of(definition.activation_written);
    if (definition.activation.empty()) {
      source.refuse(node, cat("unknown activation '", definition.activation_written, "'"),
                    "Known are nn.SiLU(), nn.LeakyReLU(0.1), nn.ReLU(), nn.Hardswish() and nn.Identity().");
    }
  }
  if (const YAML::Node node = source.root["ch"]; config::has_value(node)) {
    if (source.integer(node, "ch", 1, 1000) != 3) {
      source.refuse(node, "ch should be 3: pictures are read as RGB");
    }
  }
  if (const YAML::Node node = source.root["channel_multiple"]; config::has_value(node)) {
    if (source.integer(node, "channel_multiple", 1, 1000) != 8) {
      source.refuse(node, "channel_multiple should be 8, as for all models of YOLOv5 v7.0");
    }
  }
  read_rows(source, "backbone", false, definition.rows);
  read_rows(source, "head", true, definition.rows);
  return definition;
}

std::string to_yaml(const Definition& definition) {
  std::string out =
      cat("nc: ", definition.class_count, "\ndepth_multiple: ", exact_decimal(definition.depth_multiple),
          "\nwidth_multiple: ", exact_decimal(definition.width_multiple), "\n");
  if (!definition.activation_written.empty()) {
    out += cat("activation: ", definition.activation_written, "\n");
  }
  out += "anchors:\n";
  for (const auto& level : definition.anchors_px) {
    out += cat("  - ", anchors_text(level), "\n");
  }
  out += "backbone:\n";
  bool is_in_head = false;
  for (const Row& row : definition.rows) {
    if (row.is_in_head && !is_in_head) {
      is_in_head = true;
      out += "head:\n";
    }
    out += cat("  - [", row.from_text(), ", ", row.number, ", ", row.module, ", ",
               text_of(row.arguments.values), "]\n");
  }
  return out;
}

}  // namespace yolodist::model_spec
