// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "worker/loss/targets.h"

namespace yolodist::loss {

// Some of one level's matches: `count` from `first` on, in their order of emission.
struct MatchRange {
  const LevelMatches* matches = nullptr;
  int64_t first = 0, count = 0;
};

// The values of channels [first_channel, first_channel + channels) of each match's cell: [count, channels].
//   level: [N, A, G_y, G_x, K + 5].
at::Tensor gather_cells(const at::Tensor& level, const MatchRange& range, int64_t first_channel,
                        int64_t channels);

// Adds values [count, channels] to those channels of the matches' cells, in order of emission: a cell that
// answers for several takes up all, with the same bits every time.
void add_to_cells(const at::Tensor& level, const MatchRange& range, int64_t first_channel,
                  const at::Tensor& values);

// By match: whether it is the last of its cell in order of emission. The cells are those of `level`.
std::vector<bool> last_of_cell(const LevelMatches& matches, const at::Tensor& level);

// Sets cells [N, A, G_y, G_x] to values [count], only of the matches that are the last of their cell.
void set_cells(const at::Tensor& cells, const MatchRange& range, const std::vector<bool>& is_last,
               const at::Tensor& values);

// What is known on the host, on the level's device; labels stay fp32 in every precision.
at::Tensor boxes_of(const MatchRange& range, at::Device device);    // [count, 4]: x, y, w, h
at::Tensor anchors_of(const MatchRange& range, at::Device device);  // [count, 2]: w, h
at::Tensor classes_of(const MatchRange& range, at::Device device);  // [count], int64

}  // namespace yolodist::loss
