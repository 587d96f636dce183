// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/model_spec/model_spec.h"
#include "worker/memory/mark.h"

namespace yolodist::model {

// The tensors of a model by their official names, in the official order. Copying shares the tensors.
class StateDict {
 public:
  // Zero-filled tensors of the right shapes: parameters and float buffers in `dtype`, counters as int64.
  // Parameters are contiguous and not yet marked as requiring gradients.
  StateDict(const std::vector<model_spec::StateEntry>& entries, at::ScalarType dtype);

  const std::vector<model_spec::StateEntry>& entries() const { return entries_; }
  size_t size() const { return entries_.size(); }
  const at::Tensor& operator[](size_t index) const { return tensors_[index]; }
  at::Tensor& operator[](size_t index) { return tensors_[index]; }
  bool contains(const std::string& name) const { return index_.contains(name); }
  const at::Tensor& at(const std::string& name) const;

  // Own memory for every tensor, same values, no gradients.
  StateDict clone() const;

 private:
  std::vector<model_spec::StateEntry> entries_;
  std::vector<at::Tensor> tensors_;
  std::unordered_map<std::string, size_t> index_;
};

// What the memory of a model's entry is for.
memory::Kind memory_kind(const model_spec::StateEntry& entry);

// FNV-1a over the bytes of every tensor, to compare ranks.
uint64_t fingerprint(const StateDict& state);

}  // namespace yolodist::model
