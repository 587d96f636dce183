// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "worker/checkpoint/pickle_reader.h"

namespace yolodist::checkpoint {

// A YOLOv5 model as YOLOv5 saves it, a pickled torch.nn.Module, taken apart. Source: reference files of v6.0
// to 7.0.14; the layout of a module's state is torch/nn/modules/module.py's (attributes _parameters,
// _buffers, _modules).
struct OfficialModel {
  std::string class_name;  // "models.yolo.DetectionModel"; models.yolo.Model before v6.2
  // Official names in the order of a state dict, values that is_tensor() holds for. Without anchor_grid,
  // which files up to v6.0 have beside anchors.
  std::vector<std::pair<std::string, const PickleValue*>> tensors;
  nlohmann::json definition;            // the model yaml as a dict: nc, depth_multiple, …, backbone, head
  std::string activation;               // of the first Conv: the class, "SiLU"; "" if there is none
  std::string model_name;               // stem of the yaml's file, "yolov5n"; "" if the file does not say
  int64_t class_count = 0;              // 0 if the file does not say
  std::vector<std::string> names;       // of the classes; empty if there are none, or their numbers have gaps
  const PickleValue* stride = nullptr;  // a tensor with the stride of each level; nullptr if there is none
  const PickleValue* anchors = nullptr;  // the tensor model.N.anchors [nl, na, 2], in cells, or nullptr
};

// Whether the value is a pickled torch.nn.Module of any kind.
bool is_module(const PickleValue& value);

// `budget_bytes` as in to_json. Throws DataError beginning with `where` when the module is no YOLOv5
// detection model, or is damaged.
OfficialModel describe_module(const PickleValue& module, const std::string& where, size_t& budget_bytes);

// The definition as a model yaml that common/model_spec reads. Where the definition has only a number of
// anchors, or none, `anchors_px` (a level: w, h, w, h, …) is written instead. An activation other than SiLU
// is written out, since old files have it in the code and not in the definition. Throws DataError when it
// holds what no yaml can.
std::string definition_yaml(const OfficialModel& model, const std::vector<std::vector<double>>& anchors_px,
                            const std::string& where);

}  // namespace yolodist::checkpoint
