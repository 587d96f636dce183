// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/checkpoint/tensor_reader.h"

#include <ATen/ops/as_strided.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <optional>

#include "common/base/error.h"
#include "common/base/text.h"
#include "worker/checkpoint/pickle_values.h"

namespace yolodist::checkpoint {
namespace {

using Kind = PickleValue::Kind;

// All tensors together may be this many times the file: tied weights and expanded views make it more than
// once.
constexpr uint64_t kLargestExpansion = 8;
constexpr size_t kMostDimensions = 16;

struct StorageType {
  std::string_view global;
  at::ScalarType dtype;
};
constexpr StorageType kStorageTypes[] = {
    {"torch FloatStorage", at::kFloat}, {"torch DoubleStorage", at::kDouble},
    {"torch HalfStorage", at::kHalf},   {"torch BFloat16Storage", at::kBFloat16},
    {"torch LongStorage", at::kLong},   {"torch IntStorage", at::kInt},
    {"torch ShortStorage", at::kShort}, {"torch CharStorage", at::kChar},
    {"torch ByteStorage", at::kByte},   {"torch BoolStorage", at::kBool}};

std::optional<at::ScalarType> storage_dtype(std::string_view global) {
  for (const StorageType& type : kStorageTypes) {
    if (global == type.global) {
      return type.dtype;
    }
  }
  return std::nullopt;
}

bool is_contiguous(const std::vector<int64_t>& sizes, const std::vector<int64_t>& strides) {
  int64_t expected = 1;
  for (size_t d = sizes.size(); d-- > 0;) {
    if (sizes[d] != 1 && strides[d] != expected) {
      return false;
    }
    expected *= sizes[d];
  }
  return true;
}

}  // namespace

bool is_tensor_global(std::string_view global) {
  return is_rebuild_global(global) || storage_dtype(global);
}

void TensorReader::fail(const std::string& name, std::string_view why) const {
  throw DataError(cat(zip_.path().string(), " is damaged: its tensor ", name, " ", why));
}

at::Tensor TensorReader::read(const PickleValue& value, const std::string& name) {
  // (storage, offset, sizes, strides, …), in elements.
  const PickleValue& tensor = unwrapped_tensor(value);
  if (!calls(tensor, "torch._utils _rebuild_tensor_v2") || tensor.arguments->items.size() < 4) {
    fail(name, "is described in an unknown way");
  }
  const auto& arguments = tensor.arguments->items;
  const Storage storage = find_storage(*arguments[0], name);
  const std::vector<int64_t> sizes = read_sizes(*arguments[2], name);
  const std::vector<int64_t> strides = read_sizes(*arguments[3], name);
  if (arguments[1]->kind != Kind::integer || arguments[1]->integer < 0 || sizes.size() != strides.size()) {
    fail(name, "is described in an unknown way");
  }
  const int64_t offset = arguments[1]->integer;

  // as_strided's own check looks at bytes that it gets by multiplying without a check; so bounds are held
  // here.
  int64_t count = 1;
  int64_t last = offset;
  bool is_empty = false;
  for (size_t d = 0; d < sizes.size(); ++d) {
    const int64_t size = std::max<int64_t>(sizes[d], 1);
    int64_t reach = 0;
    if (__builtin_mul_overflow(count, size, &count) || __builtin_mul_overflow(size - 1, strides[d], &reach) ||
        __builtin_add_overflow(last, reach, &last)) {
      fail(name, "has an impossible shape");
    }
    is_empty = is_empty || sizes[d] == 0;
  }
  const auto options = at::TensorOptions().dtype(storage.dtype).device(at::kCPU);
  if (is_empty) {
    return at::empty(sizes, options);
  }
  if (last >= storage.numel) {
    fail(name, "is larger than its record");
  }
  const uint64_t item_bytes = c10::elementSize(storage.dtype);
  if (static_cast<uint64_t>(count) > (kLargestExpansion * zip_.file_bytes() - total_bytes_) / item_bytes) {
    fail(name, "makes all tensors together many times larger than the file");
  }
  total_bytes_ += static_cast<uint64_t>(count) * item_bytes;

  if (count == storage.numel && is_contiguous(sizes, strides)) {
    return at::as_strided(load(storage), sizes, strides, 0).contiguous();
  }
  at::Tensor& buffer = buffers_[storage.record];
  if (!buffer.defined() || buffer.scalar_type() != storage.dtype) {
    buffer = load(storage);
  }
  return at::as_strided(buffer, sizes, strides, offset).clone(at::MemoryFormat::Contiguous);
}

std::vector<int64_t> TensorReader::read_sizes(const PickleValue& value, const std::string& name) const {
  const PickleValue* tuple = &value;
  if (calls(value, "torch Size") && value.arguments->items.size() == 1) {
    tuple = value.arguments->items[0];
  }
  std::vector<int64_t> sizes;
  for (const PickleValue* size : tuple->items) {
    if (size->kind != Kind::integer || size->integer < 0 || sizes.size() >= kMostDimensions) {
      fail(name, "has an impossible shape");
    }
    sizes.push_back(size->integer);
  }
  return sizes;
}

// The id is ("storage", type, key, device, number of elements).
TensorReader::Storage TensorReader::find_storage(const PickleValue& value, const std::string& name) const {
  if (value.kind != Kind::persistent || value.items[0]->kind != Kind::tuple ||
      value.items[0]->items.size() < 5) {
    fail(name, "has an unknown storage");
  }
  const auto& id = value.items[0]->items;
  const auto dtype = id[1]->kind == Kind::global ? storage_dtype(id[1]->text) : std::nullopt;
  if (!dtype || id[2]->kind != Kind::text || id[4]->kind != Kind::integer) {
    fail(name, "has an unknown storage");
  }
  const ZipRecord* record = zip_.find(folder_ + id[2]->text);
  if (record == nullptr) {
    fail(name, cat("lacks its record data/", id[2]->text));
  }
  const uint64_t item_bytes = c10::elementSize(*dtype);
  if (record->size_bytes % item_bytes != 0 ||
      record->size_bytes / item_bytes != static_cast<uint64_t>(id[4]->integer)) {
    fail(name,
         cat("says it has ", id[4]->integer, " elements, its record has ", record->size_bytes, " bytes"));
  }
  return {record, *dtype, id[4]->integer};
}

at::Tensor TensorReader::load(const Storage& storage) const {
  at::Tensor tensor = at::empty({storage.numel}, at::TensorOptions().dtype(storage.dtype).device(at::kCPU));
  zip_.read(*storage.record, tensor.mutable_data_ptr());
  return tensor;
}

}  // namespace yolodist::checkpoint
