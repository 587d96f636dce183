// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include <ATen/core/Dict.h>
#include <ATen/core/List.h>
#include <ATen/core/ivalue.h>
#include <ATen/core/jit_type.h>
#include <ATen/ops/from_blob.h>

#include <exception>
#include <limits>

#include "common/base/atomic_file.h"
#include "common/base/error.h"
#include "common/base/text.h"
#include "worker/checkpoint/checkpoint.h"
#include "worker/libtorch/archive.h"
#include "worker/memory/mark.h"

namespace yolodist::checkpoint {
namespace {

using c10::IValue;
using nlohmann::json;

c10::impl::GenericDict empty_dict() {
  return c10::impl::GenericDict(c10::StringType::get(), c10::AnyType::get());
}

IValue to_ivalue(const json& value) {
  switch (value.type()) {
    case json::value_t::null:
      return {};
    case json::value_t::boolean:
      return value.get<bool>();
    case json::value_t::number_unsigned:
      check(value.get<uint64_t>() <= uint64_t{std::numeric_limits<int64_t>::max()},
            "a checkpoint's integers fit int64");
      return value.get<int64_t>();
    case json::value_t::number_integer:
      return value.get<int64_t>();
    case json::value_t::number_float:
      return value.get<double>();
    case json::value_t::string:
      return value.get<std::string>();
    case json::value_t::array: {
      c10::impl::GenericList list(c10::AnyType::get());
      list.reserve(value.size());
      for (const json& element : value) {
        list.push_back(to_ivalue(element));
      }
      return list;
    }
    case json::value_t::object: {
      c10::impl::GenericDict dict = empty_dict();
      for (const auto& [key, element] : value.items()) {
        dict.insert(key, to_ivalue(element));
      }
      return dict;
    }
    default:
      throw InternalError("a checkpoint's meta holds a value that is no plain data");
  }
}

// The tensors of the file in the order in which the pickle mentions them.
class TensorTable {
 public:
  // A dict of stand-ins that have shape and type and no memory: the pickler writes storages whole, and a
  // parameter may be a view into a buffer of all parameters.
  c10::impl::GenericDict add(const NamedTensors& tensors) {
    c10::impl::GenericDict dict = empty_dict();
    dict.reserve(tensors.size());
    for (const auto& [name, tensor] : tensors) {
      check(tensor.defined() && tensor.layout() == at::kStrided,
            cat("the checkpoint's tensor ", name, " is a dense tensor"));
      check(!dict.contains(name), cat("the checkpoint's tensor ", name, " occurs once"));
      const at::Tensor stand_in = at::from_blob(
          nullptr, tensor.sizes(), at::TensorOptions().dtype(tensor.scalar_type()).device(at::kCPU));
      ids_.emplace(stand_in.unsafeGetTensorImpl(), tensors_.size());
      tensors_.push_back(&tensor);
      dict.insert(name, stand_in);
    }
    return dict;
  }

  std::string id(const at::Tensor& stand_in) const {
    return std::to_string(ids_.at(stand_in.unsafeGetTensorImpl()));
  }
  const std::vector<const at::Tensor*>& tensors() const { return tensors_; }

  // What their records take in the file, at least.
  int64_t record_bytes() const {
    int64_t bytes = 0;
    for (const at::Tensor* tensor : tensors_) {
      bytes += static_cast<int64_t>(tensor->nbytes());
    }
    return bytes;
  }

 private:
  std::map<const void*, size_t> ids_;
  std::vector<const at::Tensor*> tensors_;
};

IValue root_value(const Checkpoint& checkpoint, TensorTable& table) {
  check(checkpoint.meta.is_object(), "a checkpoint's meta is an object");
  static_cast<void>(checkpoint.meta.dump());  // throws on text that is not UTF-8, which Python could not read
  c10::impl::GenericDict root = empty_dict();
  root.insert("schema", int64_t{1});
  for (const auto& [key, value] : checkpoint.meta.items()) {
    check(key != "schema" && key != "model" && key != "ema" && key != "optimizer",
          cat("meta key ", key, " is free"));
    root.insert(key, to_ivalue(value));
  }
  root.insert("model", table.add(checkpoint.model));
  root.insert("ema", table.add(checkpoint.ema));
  c10::impl::GenericDict optimizer = empty_dict();
  for (const auto& [state, tensors] : checkpoint.optimizer) {
    optimizer.insert(state, table.add(tensors));
  }
  root.insert("optimizer", optimizer);
  return root;
}

std::string pickled(const IValue& root, const TensorTable& table) {
  std::string data;
  torch::jit::Pickler pickler([&](const char* bytes, size_t count) { data.append(bytes, count); }, nullptr,
                              nullptr, nullptr,
                              [&](const at::Tensor& stand_in) { return table.id(stand_in); },
                              /*tag_aggregates=*/false);
  pickler.protocol();
  pickler.pushIValue(root);
  pickler.stop();
  return data;
}

void write_records(AtomicFile& file, const std::string& pickle, const TensorTable& table) {
  // The zip writer's destructor throws when a write has failed before, and its C code is no place for
  // exceptions. So a failure is kept, what follows is swallowed, and the failure is thrown when the zip
  // writer is done.
  std::exception_ptr failure;
  {
    caffe2::serialize::PyTorchStreamWriter zip([&](const void* data, size_t bytes) {
      if (!failure) {
        try {
          file.write(data, bytes);
        } catch (const StorageError&) {
          failure = std::current_exception();
        }
      }
      return bytes;
    });
    zip.writeRecord("data.pkl", pickle.data(), pickle.size());
    zip.writeRecord("byteorder", "little", 6);
    for (size_t i = 0; i < table.tensors().size() && !failure; ++i) {
      const at::Tensor tensor = table.tensors()[i]->detach().to(at::kCPU).contiguous();
      zip.writeRecord(cat("data/", i), tensor.const_data_ptr(), tensor.nbytes());
    }
    zip.writeEndOfFile();
  }
  if (failure) {
    std::rethrow_exception(failure);
  }
}

}  // namespace

void write_checkpoint(const std::filesystem::path& path, const Checkpoint& checkpoint,
                      const std::function<void()>& before_rename) {
  const memory::KindScope kind(memory::Kind::host);
  TensorTable table;
  const std::string pickle = pickled(root_value(checkpoint, table), table);
  AtomicFile file(path);
  file.require_room(static_cast<int64_t>(pickle.size()) + table.record_bytes());
  write_records(file, pickle, table);
  file.commit(before_rename);
}

}  // namespace yolodist::checkpoint
