// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/model/state_dict.h"

#include <ATen/core/TensorBase.h>
#include <ATen/ops/zeros.h>

#include "common/base/error.h"
#include "common/base/fnv1a.h"
#include "common/base/text.h"

namespace yolodist::model {

using Role = model_spec::StateEntry::Role;

memory::Kind memory_kind(const model_spec::StateEntry& entry) {
  return entry.is_parameter() ? memory::Kind::parameters : memory::Kind::buffers;
}

StateDict::StateDict(const std::vector<model_spec::StateEntry>& entries, at::ScalarType dtype)
    : entries_(entries) {
  tensors_.reserve(entries_.size());
  for (size_t i = 0; i < entries_.size(); ++i) {
    const auto type = entries_[i].role == Role::bn_count ? at::kLong : dtype;
    const memory::KindScope kind(memory_kind(entries_[i]));
    tensors_.push_back(at::zeros(entries_[i].shape, at::TensorOptions().dtype(type)));
    index_.emplace(entries_[i].name, i);
  }
}

const at::Tensor& StateDict::at(const std::string& name) const {
  const auto found = index_.find(name);
  check(found != index_.end(), cat("the state dict has no entry ", name));
  return tensors_[found->second];
}

StateDict StateDict::clone() const {
  StateDict copy = *this;
  for (at::Tensor& tensor : copy.tensors_) {
    tensor = tensor.detach().clone();
  }
  return copy;
}

uint64_t fingerprint(const StateDict& state) {
  uint64_t hash = fnv1a_start;
  for (size_t i = 0; i < state.size(); ++i) {
    const at::Tensor tensor = state[i].detach().to(at::kCPU).contiguous();
    hash = fnv1a({static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes()}, hash);
  }
  return hash;
}

}  // namespace yolodist::model
