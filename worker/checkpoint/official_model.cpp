// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/checkpoint/official_model.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "common/base/error.h"
#include "common/base/text.h"
#include "worker/checkpoint/pickle_values.h"

namespace yolodist::checkpoint {
namespace {

using Kind = PickleValue::Kind;
using nlohmann::json;

// YOLOv5x6 has 6 levels, 963 tensors and names of 40 characters. The bounds keep a pickle whose modules share
// their parts from standing for a tree without end.
constexpr int kDeepestModule = 32;
constexpr size_t kMostModules = 100'000;
constexpr size_t kEntryBytes = 128;
constexpr size_t kLongestKey = 200;

const PickleValue* attribute(const PickleValue& module, std::string_view name) {
  return lookup(*module.state, name);
}

std::string class_of(const PickleValue& object) {
  return object.kind == Kind::object && object.callable->kind == Kind::global ? dotted(object.callable->text)
                                                                              : "object";
}

std::string last_part(const std::string& name) {
  return name.substr(name.rfind('.') + 1);
}

class Walk {
 public:
  Walk(OfficialModel& model, const std::string& where, size_t& budget_bytes)
      : model_(model), where_(where), budget_bytes_(budget_bytes) {}

  void run(const PickleValue& module) { visit(module, "", 0); }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw DataError(cat(where_, " is damaged: ", what));
  }

  // A module's parameters, buffers and children, which are dicts (or None, or missing).
  const std::vector<const PickleValue*>& entries(const PickleValue& module, std::string_view name) const {
    static const std::vector<const PickleValue*> nothing;
    const PickleValue* dict = attribute(module, name);
    if (dict == nullptr || dict->kind == Kind::none) {
      return nothing;
    }
    if (dict->kind != Kind::dict) {
      fail(cat("the ", name, " of a ", class_of(module), " are no dict"));
    }
    return dict->items;
  }

  std::string child_name(const std::string& prefix, const PickleValue& key) const {
    if (key.kind != Kind::text || key.text.size() > kLongestKey) {
      fail("a part of its model has no proper name");
    }
    return prefix.empty() ? key.text : cat(prefix, ".", key.text);
  }

  void visit(const PickleValue& module, const std::string& prefix, int depth) {
    if (depth > kDeepestModule || ++modules_ > kMostModules) {
      fail("its model has too many parts");
    }
    find_activation(module);
    for (const char* kind : {"_parameters", "_buffers"}) {
      const auto& items = entries(module, kind);
      for (size_t i = 0; i < items.size(); i += 2) {
        add_tensor(child_name(prefix, *items[i]), *items[i + 1]);
      }
    }
    const auto& children = entries(module, "_modules");
    for (size_t i = 0; i < children.size(); i += 2) {
      if (children[i + 1]->kind == Kind::none) {
        continue;
      }
      const std::string name = child_name(prefix, *children[i]);
      if (!is_module(*children[i + 1])) {
        fail(cat("its part ", name, " is no module"));
      }
      visit(*children[i + 1], name, depth + 1);
    }
  }

  void add_tensor(const std::string& name, const PickleValue& value) {
    const std::string kind = last_part(name);
    if (value.kind == Kind::none || kind == "anchor_grid") {
      return;
    }
    if (!is_tensor(value)) {
      fail(cat("its ", name, " is no tensor"));
    }
    const size_t cost_bytes = kEntryBytes + 2 * name.size();
    if (budget_bytes_ < cost_bytes) {
      fail("its model has too many tensors");
    }
    budget_bytes_ -= cost_bytes;
    if (!names_.insert(name).second) {
      fail(cat("it has the tensor ", name, " twice"));
    }
    if (kind == "anchors") {
      model_.anchors = &value;
    }
    model_.tensors.emplace_back(name, &value);
  }

  // The first block of convolution, batch norm and activation tells the activation of all.
  void find_activation(const PickleValue& module) {
    const PickleValue* children = attribute(module, "_modules");
    if (!model_.activation.empty() || children == nullptr || lookup(*children, "conv") == nullptr ||
        lookup(*children, "bn") == nullptr) {
      return;
    }
    const PickleValue* act = lookup(*children, "act");
    if (act == nullptr || !is_module(*act)) {
      return;
    }
    model_.activation = last_part(class_of(*act));
    const PickleValue* slope = attribute(*act, "negative_slope");
    if (model_.activation == "LeakyReLU" && slope != nullptr && slope->kind == Kind::number) {
      model_.activation += cat("(", exact_decimal(slope->number), ")");
    }
  }

  OfficialModel& model_;
  const std::string& where_;
  size_t& budget_bytes_;
  std::set<std::string> names_;
  size_t modules_ = 0;
};

void require_detection_model(const std::string& class_name, const std::string& where) {
  if (class_name.starts_with("ultralytics.")) {
    throw DataError(cat(where, " is a checkpoint of the ultralytics package (a pickled ", class_name,
                        "), whose models are not those of YOLOv5"));
  }
  const std::string name = last_part(class_name);
  if (name == "SegmentationModel" || name == "ClassificationModel") {
    throw DataError(cat(where, " is a YOLOv5 ",
                        name == "SegmentationModel" ? "segmentation" : "classification", " model (a pickled ",
                        class_name, "); only detection models are read"));
  }
}

std::vector<std::string> class_names(const PickleValue& value) {
  std::vector<std::string> names;
  if (value.kind == Kind::list || value.kind == Kind::tuple) {
    for (const PickleValue* name : value.items) {
      if (name->kind != Kind::text) {
        return {};
      }
      names.push_back(name->text);
    }
  } else if (value.kind == Kind::dict) {
    std::map<int64_t, std::string> by_number;
    for (size_t i = 0; i < value.items.size(); i += 2) {
      if (value.items[i]->kind != Kind::integer || value.items[i + 1]->kind != Kind::text) {
        return {};
      }
      by_number[value.items[i]->integer] = value.items[i + 1]->text;
    }
    for (const auto& [number, name] : by_number) {
      if (number != static_cast<int64_t>(names.size())) {
        return {};
      }
      names.push_back(name);
    }
  }
  return names;
}

// A value of the definition in yaml's flow style; quoted text reads back as it is.
std::string flow(const json& value, const std::string& where) {
  if (value.is_array()) {
    std::vector<std::string> parts;
    for (const json& element : value) {
      parts.push_back(flow(element, where));
    }
    return cat("[", join(parts, ", "), "]");
  }
  if (value.is_null()) {
    return "None";
  }
  if (value.is_boolean()) {
    return value.get<bool>() ? "True" : "False";
  }
  if (value.is_number_integer()) {
    return std::to_string(value.get<int64_t>());
  }
  if (value.is_number()) {
    return exact_decimal(value.get<double>());
  }
  const bool is_printable = value.is_string() && std::none_of(value.get_ref<const std::string&>().begin(),
                                                              value.get_ref<const std::string&>().end(),
                                                              [](unsigned char c) { return c < 0x20; });
  if (!is_printable) {
    throw DataError(cat(where, " is damaged: the definition of its model holds what no model yaml does"));
  }
  std::string quoted = "'";
  for (const char c : value.get_ref<const std::string&>()) {
    quoted += c == '\'' ? "''" : std::string(1, c);
  }
  return quoted + "'";
}

}  // namespace

bool is_module(const PickleValue& value) {
  return value.kind == Kind::object && value.state != nullptr &&
         lookup(*value.state, "_modules") != nullptr && lookup(*value.state, "_parameters") != nullptr;
}

OfficialModel describe_module(const PickleValue& module, const std::string& where, size_t& budget_bytes) {
  OfficialModel model;
  model.class_name = class_of(module);
  require_detection_model(model.class_name, where);
  const PickleValue* definition = attribute(module, "yaml");
  if (definition == nullptr || definition->kind != Kind::dict) {
    throw DataError(cat(where, " holds a pickled ", model.class_name,
                        ", which is not read: it is no model of YOLOv5 (which has its yaml with it)"),
                    "In Python, save the module's state_dict() instead.");
  }
  auto plain = to_json(*definition, budget_bytes);
  if (!plain) {
    throw DataError(cat(where, " is damaged: the definition of its model holds what no model yaml does"));
  }
  model.definition = std::move(*plain);
  Walk(model, where, budget_bytes).run(module);

  const PickleValue* count = attribute(module, "nc");
  if (count != nullptr && count->kind == Kind::integer) {
    model.class_count = count->integer;
  } else if (const auto nc = model.definition.find("nc");
             nc != model.definition.end() && nc->is_number_integer()) {
    model.class_count = nc->get<int64_t>();
  }
  if (const PickleValue* names = attribute(module, "names")) {
    if (to_json(*names, budget_bytes)) {
      model.names = class_names(*names);
    }
  }
  const PickleValue* file = attribute(module, "yaml_file");
  if (file != nullptr && file->kind == Kind::text) {
    model.model_name = std::filesystem::path(file->text).stem().string();
  }
  const PickleValue* stride = attribute(module, "stride");
  if (stride != nullptr && is_tensor(*stride)) {
    model.stride = stride;
  }
  return model;
}

std::string definition_yaml(const OfficialModel& model, const std::vector<std::vector<double>>& anchors_px,
                            const std::string& where) {
  const json& definition = model.definition;
  std::string out;
  for (const char* key : {"nc", "depth_multiple", "width_multiple", "activation", "ch", "channel_multiple"}) {
    if (const auto value = definition.find(key); value != definition.end() && !value->is_null()) {
      out += cat(key, ": ", flow(*value, where), "\n");
    }
  }
  if (!definition.contains("activation") && !model.activation.empty() && model.activation != "SiLU") {
    const std::string call = model.activation.ends_with(")") ? "" : "()";
    out += cat("activation: ", flow(cat("nn.", model.activation, call), where), "\n");
  }
  const auto anchors = definition.find("anchors");
  const bool has_list = anchors != definition.end() && anchors->is_array();
  const json levels = has_list ? *anchors : json(anchors_px);
  out += "anchors:\n";
  for (const json& level : levels) {
    out += cat("  - ", flow(level, where), "\n");
  }
  for (const char* key : {"backbone", "head"}) {
    out += cat(key, ":\n");
    if (const auto rows = definition.find(key); rows != definition.end() && rows->is_array()) {
      for (const json& row : *rows) {
        out += cat("  - ", flow(row, where), "\n");
      }
    }
  }
  return out;
}

}  // namespace yolodist::checkpoint
