// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <yaml-cpp/node/node.h>

// Typed reading of yaml with file and line in every error. Only the yaml readers of common/config and
// common/model_spec include this: no other room sees the yaml library.
namespace yolodist::config {

// The document of a text; `where` is the file's name in errors. Throws DataError naming the line, also for an
// alias.
YAML::Node parse_yaml(const std::string& text, const std::string& where);

// "file:12", or "file" for a node that is not there.
std::string place_of(const YAML::Node& node, const std::string& where);

// Throws DataError unless `node` is a mapping whose keys are scalars and occur once. `what` names the node.
void require_mapping(const YAML::Node& node, const std::string& where, const std::string& what);

// Whether the node is written as a value: there, and neither null nor empty text.
bool has_value(const YAML::Node& node);

// A plain (unquoted) scalar as a number; nullopt when the text is not exactly one.
std::optional<double> as_number(const YAML::Node& node);
std::optional<int64_t> as_integer(const YAML::Node& node);

// The scalar `node`; DataError "file:line: what should be a number, is 'x'".
double read_number(const YAML::Node& node, const std::string& where, const std::string& what);
int64_t read_integer(const YAML::Node& node, const std::string& where, const std::string& what);
std::string read_text(const YAML::Node& node, const std::string& where, const std::string& what);

// How an error shows a node: 'text', "a list", "a mapping", "nothing".
std::string shown(const YAML::Node& node);

}  // namespace yolodist::config
