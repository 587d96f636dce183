// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/config/hyperparameters.h"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <string_view>
#include <vector>

#include <yaml-cpp/yaml.h>
#include <nlohmann/json.hpp>

#include "common/base/atomic_file.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/text.h"
#include "common/config/yaml_reading.h"

namespace yolodist::config {
namespace {

struct Range {
  double low;
  double high;
  bool low_included;
  bool high_included;
  std::string_view text;

  bool contains(double value) const {
    return (low_included ? value >= low : value > low) && (high_included ? value <= high : value < high);
  }
};

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr Range not_negative{0, infinity, true, false, "0 or more"};
constexpr Range positive{0, infinity, false, false, "more than 0"};
constexpr Range fraction{0, 1, true, true, "from 0 to 1"};
constexpr Range below_one{0, 1, true, false, "from 0 to below 1"};
constexpr Range half_turn{0, 180, true, true, "from 0 to 180 degrees"};
constexpr Range below_quarter_turn{0, 90, true, false, "from 0 to below 90 degrees"};
constexpr Range above_one{1, infinity, false, false, "more than 1"};

struct Field {
  std::string_view key;
  double Hyperparameters::*member;
  Range range;
  bool may_be_missing = false;
};

using H = Hyperparameters;
// The one list of the fields: names, order and ranges.
constexpr std::array fields = {
    Field{"lr0", &H::lr0, not_negative},
    Field{"lrf", &H::lrf, not_negative},
    Field{"momentum", &H::momentum, below_one},
    Field{"weight_decay", &H::weight_decay, not_negative},
    Field{"warmup_epochs", &H::warmup_epochs, not_negative},
    Field{"warmup_momentum", &H::warmup_momentum, below_one},
    Field{"warmup_bias_lr", &H::warmup_bias_lr, not_negative},
    Field{"box", &H::box, not_negative},
    Field{"cls", &H::cls, not_negative},
    Field{"cls_pw", &H::cls_pw, positive},
    Field{"obj", &H::obj, not_negative},
    Field{"obj_pw", &H::obj_pw, positive},
    Field{"iou_t", &H::iou_t, fraction},
    Field{"anchor_t", &H::anchor_t, above_one},
    Field{"anchors", &H::anchors, not_negative, true},
    Field{"fl_gamma", &H::fl_gamma, not_negative},
    Field{"hsv_h", &H::hsv_h, fraction},
    Field{"hsv_s", &H::hsv_s, fraction},
    Field{"hsv_v", &H::hsv_v, fraction},
    Field{"degrees", &H::degrees, half_turn},
    Field{"translate", &H::translate, fraction},
    Field{"scale", &H::scale, below_one},
    Field{"shear", &H::shear, below_quarter_turn},
    Field{"perspective", &H::perspective, not_negative},
    Field{"flipud", &H::flipud, fraction},
    Field{"fliplr", &H::fliplr, fraction},
    Field{"mosaic", &H::mosaic, fraction},
    Field{"mixup", &H::mixup, fraction},
    Field{"copy_paste", &H::copy_paste, fraction},
    Field{"label_smoothing", &H::label_smoothing, below_one, true},
};

void set(Hyperparameters& hyp, const Field& field, double value, const std::string& place) {
  if (!field.range.contains(value)) {
    throw DataError(cat(place, ": hyperparameter ", field.key, " should be ", field.range.text, ", is ",
                        exact_decimal(value)));
  }
  hyp.*field.member = value;
}

const Field* find_field(const std::string& key) {
  const auto found =
      std::find_if(fields.begin(), fields.end(), [&](const Field& field) { return field.key == key; });
  return found == fields.end() ? nullptr : &*found;
}

void warn_of_unknown_key(const std::string& key, const std::string& place) {
  std::vector<std::string> known;
  for (const Field& field : fields) {
    known.emplace_back(field.key);
  }
  const std::string guess = nearest(key, known);
  log::warning(cat(place, ": unknown hyperparameter '", key, "' is not used",
                   guess.empty() ? "" : cat("; did you mean ", guess, "?")));
}

}  // namespace

Hyperparameters read_hyperparameters(const std::filesystem::path& file, bool warns) {
  const std::string where = file.string();
  const YAML::Node root = parse_yaml(read_file(file), where);
  require_mapping(root, where, "a hyperparameter file");
  Hyperparameters hyp;
  for (const auto& entry : root) {
    const std::string& key = entry.first.Scalar();
    const std::string place = place_of(entry.first, where);
    if (const Field* field = find_field(key)) {
      const std::optional<double> value = as_number(entry.second);
      if (!value) {
        throw DataError(
            cat(place, ": hyperparameter ", key, " should be a number, is ", shown(entry.second)));
      }
      set(hyp, *field, *value, place);
    } else if (warns) {
      warn_of_unknown_key(key, place);
    }
  }
  for (const Field& field : fields) {
    if (warns && !field.may_be_missing && !root[std::string(field.key)].IsDefined()) {
      log::warning(cat(where, ": hyperparameter ", field.key, " is missing; using ",
                       exact_decimal(hyp.*field.member)));
    }
  }
  return hyp;
}

nlohmann::ordered_json to_json(const Hyperparameters& hyp) {
  nlohmann::ordered_json document = nlohmann::ordered_json::object();
  for (const Field& field : fields) {
    document[std::string(field.key)] = hyp.*field.member;
  }
  return document;
}

Hyperparameters hyperparameters_from_json(const nlohmann::json& document) {
  Hyperparameters hyp;
  if (!document.is_object()) {
    throw DataError("the stored hyperparameters should be an object of names and numbers");
  }
  for (const Field& field : fields) {
    const auto found = document.find(std::string(field.key));
    if (found == document.end()) {
      continue;
    }
    if (!found->is_number()) {
      throw DataError(
          cat("the stored hyperparameter ", field.key, " should be a number, is ", found->dump()));
    }
    set(hyp, field, found->get<double>(), "stored hyperparameters");
  }
  return hyp;
}

Hyperparameters scaled(const Hyperparameters& hyp, int level_count, int class_count, int imgsz_px) {
  Hyperparameters result = hyp;
  const double per_level = 3.0 / level_count;
  const double side = imgsz_px / 640.0;
  result.box *= per_level;
  result.cls *= class_count / 80.0 * per_level;
  result.obj *= side * side * per_level;
  return result;
}

}  // namespace yolodist::config
