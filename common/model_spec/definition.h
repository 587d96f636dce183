// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <string>
#include <vector>

#include "common/model_spec/arguments.h"

namespace yolodist::model_spec {

// A row [from, number, module, args] of a model yaml as it is written.
struct Row {
  std::vector<int> from;
  bool from_is_list = false;
  int number = 1;
  std::string module;  // "C3", "nn.Upsample"
  Arguments arguments;
  bool is_in_head = false;

  std::string from_text() const;  // "-1", "[-1, 6]"
};

// A model yaml as it is written, checked for form; what the rows mean is the business of model_spec.cpp.
struct Definition {
  int class_count = 0;
  double depth_multiple = 1, width_multiple = 1;
  std::vector<std::vector<std::array<double, 2>>> anchors_px;  // [nl][na]{w, h}; all levels have equally many
  std::string anchors_place;                                   // "file:line" of the anchors, for errors
  std::string activation = "SiLU";                             // ModelSpec::activation
  std::string activation_written;                              // "nn.LeakyReLU(0.1)"; "" if the yaml has none
  std::vector<Row> rows;                                       // backbone, then head
};

// `class_count` > 0 overrides nc. Throws DataError with file and line.
Definition read_definition(const std::string& text, const std::string& where, int class_count);

// The definition as yaml, nc overridden; reading it gives the same definition.
std::string to_yaml(const Definition& definition);

}  // namespace yolodist::model_spec
