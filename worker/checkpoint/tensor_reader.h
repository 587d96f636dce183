// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "worker/checkpoint/pickle_reader.h"
#include "worker/checkpoint/zip_reader.h"

namespace yolodist::checkpoint {

// Whether a tensor's description uses this global: a rebuild function or a storage type.
bool is_tensor_global(std::string_view global);

// Makes tensors out of their descriptions in the pickle and their bytes in the zip file. Trusts neither:
// shapes are held against the records, and all tensors together stay below a small multiple of the file's
// size.
class TensorReader {
 public:
  explicit TensorReader(const ZipReader& zip) : zip_(zip) {}

  // Where the records of the tensors lie, "archive/data/".
  void set_folder(std::string folder) { folder_ = std::move(folder); }

  // Contiguous, on the CPU, with memory of its own. Throws DataError naming the file and `name`.
  at::Tensor read(const PickleValue& value, const std::string& name);

 private:
  struct Storage {
    const ZipRecord* record = nullptr;
    at::ScalarType dtype = at::kFloat;
    int64_t numel = 0;
  };
  Storage find_storage(const PickleValue& value, const std::string& name) const;
  std::vector<int64_t> read_sizes(const PickleValue& value, const std::string& name) const;
  at::Tensor load(const Storage& storage) const;
  [[noreturn]] void fail(const std::string& name, std::string_view why) const;

  const ZipReader& zip_;
  std::string folder_;
  uint64_t total_bytes_ = 0;                        // of all tensors so far
  std::map<const ZipRecord*, at::Tensor> buffers_;  // storages that are larger than the tensors in them
};

}  // namespace yolodist::checkpoint
