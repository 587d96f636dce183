// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "common/model_spec/model_spec.h"

// What the golden tests share: tests/golden/data as tools/make_golden.py wrote it (README.md here describes
// the files), and the formula both sides fill tensors with.
namespace yolodist::golden {

// "loss" -> tests/golden/data/loss.json. A missing or broken file throws.
nlohmann::json load(const std::string& name);

// An array of NAME.bin, row-major.
struct Array {
  std::vector<size_t> shape;
  std::vector<double> values;  // float32 and uint8 hold exactly
};
Array load_array(const std::string& name, const std::string& key);

// Number `index` of `stream`, in [0, 1).
double uniform(uint64_t stream, uint64_t index);
// The first `count` numbers of a stream.
std::vector<double> uniforms(uint64_t stream, size_t count);

// The weights that every network of the golden files has: entry number `position` of the state dict,
// row-major. Not for anchors, which keep their values.
std::vector<double> formula_entry(const model_spec::StateEntry& entry, size_t position);

// The files' form of a big tensor: sums, and every step-th value.
struct Summary {
  std::vector<int64_t> shape;
  double sum = 0, sum_sq = 0;
  size_t step = 1;
  std::vector<double> values;
};
Summary summary_from_json(const nlohmann::json& document);

// Fails the running test where `values` (row-major) differ from the summary by more than
// tolerance * (1 + |expected|); the sums are compared with the tolerance times the root of their terms'
// squares.
void expect_summary(const Summary& expected, const std::vector<double>& values, double tolerance,
                    const std::string& what);

// Lower-case hexadecimal SHA-256.
std::string sha256(const void* data, size_t bytes);

std::filesystem::path sample_folder();

}  // namespace yolodist::golden
