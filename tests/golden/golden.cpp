// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "tests/golden/golden.h"

#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include <gtest/gtest.h>

namespace yolodist::golden {
namespace {

constexpr uint64_t kEntryStream = 1000;

std::filesystem::path file_of(const std::string& name) {
  return std::filesystem::path(YOLODIST_SOURCE_DIR) / "tests/golden/data" / name;
}

std::string content_of(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream) {
    throw std::runtime_error(file.string() + ": cannot be read");
  }
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

template <typename T>
std::vector<double> numbers(const std::string& bytes, size_t offset, size_t count) {
  if (offset > bytes.size() || count > (bytes.size() - offset) / sizeof(T)) {
    throw std::runtime_error("a golden .bin file is shorter than its index says");
  }
  std::vector<T> values(count);
  if (count > 0) {
    std::memcpy(values.data(), bytes.data() + offset, count * sizeof(T));
  }
  return {values.begin(), values.end()};
}

}  // namespace

nlohmann::json load(const std::string& name) {
  return nlohmann::json::parse(content_of(file_of(name + ".json")));
}

Array load_array(const std::string& name, const std::string& key) {
  const nlohmann::json index = load(name).at("binary").at(key);
  Array array;
  array.shape = index.at("shape").get<std::vector<size_t>>();
  size_t count = 1;
  for (const size_t side : array.shape) {
    count *= side;
  }
  const std::string bytes = content_of(file_of(name + ".bin"));
  const auto offset = index.at("offset").get<size_t>();
  const auto dtype = index.at("dtype").get<std::string>();
  if (dtype == "float32") {
    array.values = numbers<float>(bytes, offset, count);
  } else if (dtype == "float64") {
    array.values = numbers<double>(bytes, offset, count);
  } else if (dtype == "uint8") {
    array.values = numbers<uint8_t>(bytes, offset, count);
  } else {
    throw std::runtime_error(name + ": unknown dtype " + dtype);
  }
  return array;
}

double uniform(uint64_t stream, uint64_t index) {
  uint64_t z = stream * 0xD1342543DE82EF95u + (index + 1) * 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  z ^= z >> 31;
  return static_cast<double>(z >> 11) * 0x1p-53;
}

std::vector<double> uniforms(uint64_t stream, size_t count) {
  std::vector<double> values(count);
  for (size_t i = 0; i < count; ++i) {
    values[i] = uniform(stream, i);
  }
  return values;
}

std::vector<double> formula_entry(const model_spec::StateEntry& entry, size_t position) {
  using Role = model_spec::StateEntry::Role;
  size_t count = 1;
  for (const int64_t side : entry.shape) {
    count *= static_cast<size_t>(side);
  }
  std::vector<double> values = uniforms(kEntryStream + position, count);
  const double fan_in =
      entry.shape.empty() ? 1.0 : static_cast<double>(count) / static_cast<double>(entry.shape.front());
  for (double& u : values) {
    switch (entry.role) {
      case Role::conv_weight:
        u = (2 * u - 1) / std::sqrt(fan_in);
        break;
      case Role::conv_bias:
      case Role::bn_bias:
        u = u - 0.5;
        break;
      case Role::bn_mean:
        u = 0.2 * (u - 0.5);
        break;
      case Role::bn_weight:
      case Role::bn_var:
        u = 0.5 + u;
        break;
      case Role::bn_count:
        u = 0;
        break;
      case Role::anchors:
        throw std::logic_error("the formula does not fill anchors");
    }
  }
  return values;
}

Summary summary_from_json(const nlohmann::json& document) {
  return {document.at("shape").get<std::vector<int64_t>>(), document.at("sum").get<double>(),
          document.at("sum_sq").get<double>(), document.at("step").get<size_t>(),
          document.at("values").get<std::vector<double>>()};
}

void expect_summary(const Summary& expected, const std::vector<double>& values, double tolerance,
                    const std::string& what) {
  size_t count = 1;
  for (const int64_t side : expected.shape) {
    count *= static_cast<size_t>(side);
  }
  ASSERT_EQ(values.size(), count) << what;
  double sum = 0, sum_sq = 0;
  for (const double value : values) {
    sum += value;
    sum_sq += value * value;
  }
  EXPECT_NEAR(sum, expected.sum, tolerance * (1 + std::sqrt(expected.sum_sq * static_cast<double>(count))))
      << what;
  EXPECT_NEAR(sum_sq, expected.sum_sq, tolerance * (1 + expected.sum_sq)) << what;
  for (size_t k = 0; k < expected.values.size(); ++k) {
    const double value = values.at(k * expected.step);
    ASSERT_NEAR(value, expected.values[k], tolerance * (1 + std::abs(expected.values[k])))
        << what << ", element " << k * expected.step;
  }
}

std::filesystem::path sample_folder() {
  return std::filesystem::path(YOLODIST_SOURCE_DIR) / "share/yolodist/sample";
}

}  // namespace yolodist::golden
