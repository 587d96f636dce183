// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>

#include "common/model_spec/model_spec.h"

namespace yolodist::test {

inline model_spec::ModelSpec shipped(const std::string& name, int class_count = 0) {
  return model_spec::read_model_spec(
      std::filesystem::path(YOLODIST_SOURCE_DIR) / "share/yolodist/models" / (name + ".yaml"), class_count);
}

// A Conv to 64 channels at stride 2 as layer 0, the given row as layer 1, and Detect.
inline model_spec::ModelSpec with_row(const std::string& row, const std::string& activation = "") {
  const std::string text = "nc: 1\ndepth_multiple: 1.0\nwidth_multiple: 1.0\nanchors:\n  - [10,13]\n" +
                           (activation.empty() ? "" : "activation: " + activation + "\n") +
                           "backbone:\n  - [-1, 1, Conv, [64, 3, 2]]\n  - " + row +
                           "\nhead:\n  - [[-1], 1, Detect, [nc, anchors]]\n";
  return model_spec::parse_model_spec(text, "test.yaml");
}

}  // namespace yolodist::test
