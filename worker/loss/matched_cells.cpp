// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/loss/matched_cells.h"

#include <ATen/ops/from_blob.h>
#include <ATen/ops/index.h>
#include <ATen/ops/index_put.h>

#include <array>
#include <unordered_map>

namespace yolodist::loss {
namespace {

// Always a copy. A card's is made while the host goes on: out of pinned memory, which LibTorch keeps until
// then.
template <typename T>
at::Tensor to_device(const T* values, std::vector<int64_t> shape, at::Device device) {
  constexpr at::ScalarType dtype = c10::CppTypeToScalarType<T>::value;
  const at::Tensor here = at::from_blob(const_cast<T*>(values), shape, dtype);
  return device.is_cpu() ? here.clone() : here.pin_memory().to(device, /*non_blocking=*/true);
}

// Index tensors of the four dimensions of cells.
c10::List<std::optional<at::Tensor>> cell_indices(const MatchRange& range, at::Device device) {
  const LevelMatches& m = *range.matches;
  std::vector<int64_t> all;
  all.reserve(static_cast<size_t>(4 * range.count));
  for (const auto* values : {&m.image, &m.anchor, &m.row, &m.column}) {
    const auto first = values->begin() + range.first;
    all.insert(all.end(), first, first + range.count);
  }
  c10::List<std::optional<at::Tensor>> indices;
  for (const at::Tensor& dimension : to_device(all.data(), {4, range.count}, device).unbind(0)) {
    indices.push_back(dimension);
  }
  return indices;
}

template <size_t N>
at::Tensor columns_of(const std::array<const std::vector<float>*, N>& columns, const MatchRange& range,
                      at::Device device) {
  std::vector<float> rows;
  rows.reserve(static_cast<size_t>(range.count) * N);
  for (int64_t k = range.first; k < range.first + range.count; ++k) {
    for (const auto* column : columns) {
      rows.push_back((*column)[static_cast<size_t>(k)]);
    }
  }
  return to_device(rows.data(), {range.count, static_cast<int64_t>(N)}, device);
}

template <typename T>
void add_on_host(const at::Tensor& channels, const MatchRange& range, const at::Tensor& values) {
  const LevelMatches& m = *range.matches;
  const auto strides = channels.strides();
  T* cells = channels.mutable_data_ptr<T>();
  const T* value = values.const_data_ptr<T>();
  for (int64_t k = range.first; k < range.first + range.count; ++k) {
    const auto at_match = static_cast<size_t>(k);
    T* cell = cells + m.image[at_match] * strides[0] + m.anchor[at_match] * strides[1] +
              m.row[at_match] * strides[2] + m.column[at_match] * strides[3];
    for (int64_t channel = 0; channel < channels.size(4); ++channel) {
      cell[channel * strides[4]] += *value++;
    }
  }
}

}  // namespace

at::Tensor gather_cells(const at::Tensor& level, const MatchRange& range, int64_t first_channel,
                        int64_t channels) {
  return at::index(level.narrow(4, first_channel, channels), cell_indices(range, level.device()));
}

void add_to_cells(const at::Tensor& level, const MatchRange& range, int64_t first_channel,
                  const at::Tensor& values) {
  const at::Tensor channels = level.narrow(4, first_channel, values.size(1));
  if (!level.is_cpu()) {
    // On CUDA an accumulating index_put sorts its indices first: one order.
    channels.index_put_(cell_indices(range, level.device()), values, /*accumulate=*/true);
    return;
  }
  // On the CPU it would add with threads, in any order.
  const at::Tensor rows = values.contiguous();
  if (level.scalar_type() == at::kDouble) {
    add_on_host<double>(channels, range, rows);
  } else {
    add_on_host<float>(channels, range, rows);
  }
}

std::vector<bool> last_of_cell(const LevelMatches& matches, const at::Tensor& level) {
  const int64_t anchors = level.size(1), rows = level.size(2), columns = level.size(3);
  std::vector<bool> is_last(matches.image.size(), true);
  std::unordered_map<int64_t, size_t> last;
  last.reserve(matches.image.size());
  for (size_t k = 0; k < matches.image.size(); ++k) {
    const int64_t cell =
        ((matches.image[k] * anchors + matches.anchor[k]) * rows + matches.row[k]) * columns +
        matches.column[k];
    const auto [known, is_new] = last.try_emplace(cell, k);
    if (!is_new) {
      is_last[known->second] = false;
      known->second = k;
    }
  }
  return is_last;
}

void set_cells(const at::Tensor& cells, const MatchRange& range, const std::vector<bool>& is_last,
               const at::Tensor& values) {
  const LevelMatches& m = *range.matches;
  LevelMatches chosen;
  std::vector<int64_t> positions;
  for (int64_t k = 0; k < range.count; ++k) {
    const auto at_match = static_cast<size_t>(range.first + k);
    if (is_last[at_match]) {
      positions.push_back(k);
      chosen.image.push_back(m.image[at_match]);
      chosen.anchor.push_back(m.anchor[at_match]);
      chosen.row.push_back(m.row[at_match]);
      chosen.column.push_back(m.column[at_match]);
    }
  }
  if (positions.empty()) {
    return;
  }
  const auto count = static_cast<int64_t>(positions.size());
  const at::Tensor of_chosen = values.index({to_device(positions.data(), {count}, values.device())});
  cells.index_put_(cell_indices({&chosen, 0, count}, cells.device()), of_chosen);
}

at::Tensor boxes_of(const MatchRange& range, at::Device device) {
  const LevelMatches& m = *range.matches;
  return columns_of<4>({&m.x, &m.y, &m.w, &m.h}, range, device);
}

at::Tensor anchors_of(const MatchRange& range, at::Device device) {
  return columns_of<2>({&range.matches->anchor_w, &range.matches->anchor_h}, range, device);
}

at::Tensor classes_of(const MatchRange& range, at::Device device) {
  return to_device(range.matches->class_index.data() + range.first, {range.count}, device);
}

}  // namespace yolodist::loss
